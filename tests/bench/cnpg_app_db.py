"""cnpg_app_db against ten kubernetes.core tasks for the same state, against the API alone, and among twenty."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import ROOT, Pair
from server import INVENTORY

HERE = Path(__file__).parent / "cnpg_app_db"
STATE = {"bench_app": "pg-bench", "bench_database": "t_pg_bench"}
NEW = {"bench_app": "pg-bench-new", "bench_database": "t_pg_bench_new"}
CLUSTERS = {"pg-bench-one": 1, "pg-bench-many": 20}


def play(name: str, variables: dict[str, Any]) -> list[str]:
    return ["ansible-playbook", str(HERE / name), "-i", str(INVENTORY), "-e", json.dumps(variables)]


def run(name: str, variables: dict[str, Any]) -> None:
    done = subprocess.run(play(name, variables), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr}")


def last_of(cluster: str) -> dict[str, str]:
    """The application of a cluster that came last."""
    name, number = f"{cluster}-{CLUSTERS[cluster]}", CLUSTERS[cluster]
    return {
        "bench_app": name,
        "bench_database": f"t_bench_{number}",
        "bench_cluster": cluster,
        "bench_cluster_namespace": cluster,
    }


def forget_new() -> None:
    run("away.yml", NEW)
    run("gone.yml", {"bench_namespaces": [NEW["bench_app"]]})


def clean_up() -> None:
    for variables in (STATE, NEW):
        run("away.yml", variables)
    namespaces = [STATE["bench_app"], NEW["bench_app"], *CLUSTERS]
    namespaces += [f"{cluster}-{number}" for cluster, count in CLUSTERS.items() for number in range(1, count + 1)]
    run("gone.yml", {"bench_namespaces": namespaces})


@contextlib.contextmanager
def topic() -> Iterator[list[Pair]]:
    clean_up()
    try:
        # Both sides keep the same objects, each under its own field manager: the ten tasks come first.
        run("theirs.yml", STATE)
        run("ours.yml", STATE)
        for cluster, count in CLUSTERS.items():
            run("cluster.yml", {"bench_cluster": cluster, "bench_count": count})
        yield [
            Pair(
                "no change, seconds of the tasks",
                ours=play("ours.yml", STATE),
                theirs=play("theirs.yml", STATE),
                theirs_is="ten kubernetes.core tasks",
                goal=0.2,
                limit=1.6,
                tasks_only=True,
            ),
            Pair(
                "a new role and database, with its login proof",
                ours=play("ours.yml", NEW),
                theirs=play("floor.yml", NEW),
                theirs_is="the API alone: three creates and two waits",
                within=2.0,
                before=forget_new,
                runs=5,
            ),
            Pair(
                "no change, the last of twenty applications of a cluster",
                ours=play("ours.yml", last_of("pg-bench-many")),
                theirs=play("ours.yml", last_of("pg-bench-one")),
                theirs_is="the only one of a cluster",
                goal=1.2,
                tasks_only=True,
            ),
        ]
    finally:
        clean_up()
