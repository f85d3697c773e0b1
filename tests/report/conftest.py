"""The planted study and its report, made once; tests that change a study write one of their own."""

from pathlib import Path

import pandas
import pytest

from tests.helpers.planted import report, write_study


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    return write_study(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="session")
def folder(study) -> Path:
    return report(study)


@pytest.fixture(scope="session")
def judged(folder) -> pandas.DataFrame:
    """claims.csv by id, empty texts as such."""
    return pandas.read_csv(folder / "claims.csv").fillna({"reason": "", "model": ""}).set_index("id")
