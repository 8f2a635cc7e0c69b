"""A running sandbox for tests: a real process on a free port, with hosts in 127.78.0.0/16, gone when the tests are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clouds import Cloud, start_cloud
from provided import Base, Engine, configured, new_base

from infra.sandbox import process


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    state = tmp_path_factory.mktemp("sandbox")
    try:
        yield start_cloud(state)
    finally:
        process.stop(state)


@pytest.fixture(scope="module")
def engine(cloud: Cloud) -> Iterator[Engine]:
    with configured(cloud.running.url) as engine:
        yield engine


@pytest.fixture(scope="module")
def base(engine: Engine) -> Base:
    return new_base(engine)
