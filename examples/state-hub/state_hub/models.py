"""The tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Index, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables of the hub."""


class State(Base):
    """The present value of a key."""

    __tablename__ = "state"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    revision: Mapped[int]
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Change(Base):
    """One change of a key; no value means that it was removed."""

    __tablename__ = "change"
    __table_args__ = (Index("ix_change_key", "key", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(200))
    value: Mapped[Any] = mapped_column(JSON, nullable=True)
    revision: Mapped[int]
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
