from __future__ import annotations

import gc

from airflow_ai_provider.services.garbage import fewer_collections


def test_the_collector_is_as_it_was_after_blocks_that_overlap() -> None:
    before = gc.get_threshold()
    first, second = fewer_collections(), fewer_collections()
    first.__enter__()
    second.__enter__()
    assert gc.get_threshold()[0] > before[0]
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] > before[0]
    second.__exit__(None, None, None)
    assert gc.get_threshold() == before
