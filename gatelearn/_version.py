"""The version, from the metadata that pyproject.toml gave the installed package."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("gatelearn")
except PackageNotFoundError:  # a source tree on sys.path, built in place
    __version__ = "0+unknown"
