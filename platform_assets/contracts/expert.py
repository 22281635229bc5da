"""Loads a Pandera schema that an expert wrote in Python, beside the contract's YAML."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from typing import TYPE_CHECKING

from platform_assets.contracts.model import ContractError, ExpertSchema

if TYPE_CHECKING:
    from types import ModuleType

    import pandera.polars as pa


def load_expert(expert: ExpertSchema) -> pa.DataFrameSchema:
    """The schema of the expert's class, from its file as it stands now.

    Raises:
        ContractError: the file cannot be run, or has no such `DataFrameModel` of `pandera.polars`.
    """
    import pandera.polars as pa

    module = _load(expert)
    found = getattr(module, expert.name, None)
    if not isinstance(found, type) or not issubclass(found, pa.DataFrameModel):
        models = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, pa.DataFrameModel) and value is not pa.DataFrameModel
        ]
        raise ContractError(
            f"{expert.file}: {expert.name} is no DataFrameModel of pandera.polars; "
            f"the file has {', '.join(models) or 'none'}"
        )
    return found.to_schema()


def _load(expert: ExpertSchema) -> ModuleType:
    name = f"platform_assets_expert_{hashlib.sha256(str(expert.file.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, expert.file)
    if spec is None or spec.loader is None:
        raise ContractError(f"{expert.file}: a schema of an expert stands in a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where Pandera looks up what annotations mean
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ContractError(f"{expert.file}: cannot be run: {type(error).__name__}: {error}") from error
    return module
