"""The `platform-assets` command, one module for each group of commands."""

from platform_assets.cli.main import app

__all__ = ["app"]
