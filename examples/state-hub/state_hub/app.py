"""The HTTP interface."""

import hmac
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Header, HTTPException, Path, Query, Response
from fastapi.responses import JSONResponse
from sqlalchemy import create_engine, delete, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from state_hub.models import Change, State
from state_hub.settings import Settings

logger = logging.getLogger(__name__)

Key = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,199}$")]


def create_app(settings: Settings) -> FastAPI:
    """Make the application; nothing is connected before the first request."""
    engine = create_engine(settings.database_url, pool_pre_ping=True, pool_size=5, max_overflow=5)
    sessions = sessionmaker(engine)
    app = FastAPI(title=settings.title, docs_url="/docs", redoc_url=None)

    def session() -> Iterator[Session]:
        with sessions.begin() as opened:
            yield opened

    def writer(authorization: Annotated[str, Header()] = "") -> None:
        sent = authorization.removeprefix("Bearer ")
        if not settings.api_token or not hmac.compare_digest(sent.encode(), settings.api_token.encode()):
            raise HTTPException(401, "A token is needed to write.", {"WWW-Authenticate": "Bearer"})

    InSession = Annotated[Session, Depends(session)]

    @app.get("/health/", include_in_schema=False)
    def ready() -> JSONResponse:
        """Answer 200 when the database answers, 503 otherwise."""
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            # The cause goes to the log; the answer is public.
            logger.warning("Health check: the database does not answer: %s", error)
            return JSONResponse({"status": "error", "database": "unreachable"}, 503)
        return JSONResponse({"status": "ok", "database": "ok"})

    @app.get("/health/live/", include_in_schema=False)
    def live() -> dict[str, str]:
        """Answer as long as the process serves requests."""
        return {"status": "ok"}

    @app.get("/states")
    def keys(db: InSession, prefix: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[str]:
        """Return the keys, in order."""
        wanted = select(State.key).where(State.key.startswith(prefix, autoescape=True)).order_by(State.key)
        return list(db.scalars(wanted.limit(limit)))

    @app.get("/states/{key}")
    def read(key: Key, db: InSession) -> dict[str, Any]:
        """Return the present value."""
        state = db.get(State, key)
        if state is None:
            raise HTTPException(404, f"There is no state {key}.")
        return {"key": key, "value": state.value, "revision": state.revision, "changed_at": state.changed_at}

    @app.get("/states/{key}/changes")
    def changes(key: Key, db: InSession) -> list[dict[str, Any]]:
        """Return every change, newest first."""
        found = db.scalars(select(Change).where(Change.key == key).order_by(Change.id.desc()).limit(100))
        return [{"value": one.value, "revision": one.revision, "changed_at": one.changed_at} for one in found]

    @app.put("/states/{key}", dependencies=[Depends(writer)])
    def write(key: Key, value: Annotated[Any, Body()], db: InSession, response: Response) -> dict[str, Any]:
        """Set the value and note the change; the same value again changes nothing."""
        if len(json.dumps(value)) > settings.max_value_bytes:
            raise HTTPException(413, f"A value has at most {settings.max_value_bytes} bytes.")
        state = db.get(State, key, with_for_update=True)
        if state is not None and state.value == value:
            return {"key": key, "revision": state.revision}
        now = datetime.now(UTC)
        if state is None:
            last = db.scalar(select(Change.revision).where(Change.key == key).order_by(Change.id.desc()).limit(1))
            state = State(key=key, value=value, revision=(last or 0) + 1, changed_at=now)
            db.add(state)
            response.status_code = 201
        else:
            state.value, state.revision, state.changed_at = value, state.revision + 1, now
        db.add(Change(key=key, value=value, revision=state.revision, changed_at=now))
        return {"key": key, "revision": state.revision}

    @app.delete("/states/{key}", dependencies=[Depends(writer)], status_code=204)
    def remove(key: Key, db: InSession) -> None:
        """Remove the value; its history stays."""
        state = db.get(State, key, with_for_update=True)
        if state is None:
            raise HTTPException(404, f"There is no state {key}.")
        db.add(Change(key=key, value=None, revision=state.revision + 1, changed_at=datetime.now(UTC)))
        db.execute(delete(State).where(State.key == key))

    return app
