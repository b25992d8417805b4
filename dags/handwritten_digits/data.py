"""Scikit-learn's handwritten digits as a delivery."""

from __future__ import annotations

import uuid
from pathlib import Path


def digits_path(landing: str | Path) -> Path:
    return Path(landing) / "digits" / "digits.parquet"


def deliver_digits(landing: str | Path) -> Path:
    """Write the digits once: ``pixel_0`` to ``pixel_63`` (0 to 16) and ``label`` (0 to 9)."""
    target = digits_path(landing)
    if target.exists():
        return target
    from sklearn.datasets import load_digits

    digits = load_digits(as_frame=True)
    frame = digits.data.astype("int16")
    frame.columns = [f"pixel_{index}" for index in range(frame.shape[1])]
    frame["label"] = digits.target.astype("int16")
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")  # nobody reads half a file
    frame.to_parquet(beside, index=False)
    beside.replace(target)
    return target


if __name__ == "__main__":  # where nobody delivers: before `airflow-ai project test --fetch`
    from experiments.places import PLACES

    print(deliver_digits(PLACES["landing"]))
