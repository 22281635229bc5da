"""What Dagster's webserver is asked by the rest of the platform, over its GraphQL API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CODE_LOCATION = "platform_assets"
_LOADED = """
{ workspaceOrError { ... on PythonError { message } ... on Workspace { locationEntries {
  name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""
_RELOAD = """
mutation ($location: String!) { reloadRepositoryLocation(repositoryLocationName: $location) {
  __typename
  ... on WorkspaceLocationEntry { locationOrLoadError { __typename ... on PythonError { message } } }
  ... on PythonError { message }
  ... on ReloadNotSupported { message }
  ... on RepositoryLocationNotFound { message }
} }
"""
_SENSORS = """
{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { ... on RepositoryLocation {
  repositories { sensors { name sensorState { status } } } } } } } } }
"""
_ASSETS = "{ assetNodes { assetKey { path } } }"


class DagitError(RuntimeError):
    """The webserver cannot be reached, or says that something is wrong; the message says what."""


@dataclass(frozen=True)
class Dagit:
    """The webserver at an address.

    Attributes:
        url: such as `http://127.0.0.1:3000`.
    """

    url: str

    def require_loaded(self) -> None:
        """Nothing, if the definitions are loaded.

        Raises:
            DagitError: they do not load.
        """
        entries = self._ask(_LOADED)["workspaceOrError"]
        _require(entries)
        for entry in entries.get("locationEntries", []):
            _require(entry.get("locationOrLoadError") or {})

    def reload(self) -> None:
        """Loads the definitions anew, as the Reload button does.

        Raises:
            DagitError: they do not load; the webserver and the daemon then know none of them.
        """
        answer = self._ask(_RELOAD, location=CODE_LOCATION)["reloadRepositoryLocation"]
        if answer["__typename"] != "WorkspaceLocationEntry":
            raise DagitError(str(answer.get("message", answer["__typename"])))
        _require(answer["locationOrLoadError"])

    def sensors(self) -> dict[str, str]:
        """Status of every sensor, `RUNNING` or `STOPPED`, by name."""
        entries = self._ask(_SENSORS)["workspaceOrError"].get("locationEntries", [])
        repositories = [r for e in entries for r in (e["locationOrLoadError"] or {}).get("repositories", [])]
        return {s["name"]: s["sensorState"]["status"] for r in repositories for s in r["sensors"]}

    def assets(self) -> set[str]:
        """Keys of all assets, as `layer/table`."""
        return {"/".join(node["assetKey"]["path"]) for node in self._ask(_ASSETS)["assetNodes"]}

    def _ask(self, query: str, **variables: object) -> dict[str, Any]:
        import httpx

        question = {"query": query, "variables": variables}
        try:
            answer = httpx.post(f"{self.url}/graphql", json=question, timeout=180).raise_for_status().json()
        except httpx.HTTPError as error:
            raise DagitError(f"Dagster's webserver at {self.url} does not answer: {type(error).__name__}") from None
        if "errors" in answer:
            raise DagitError(f"Dagster's webserver at {self.url} answers: {answer['errors'][0]['message']}")
        data: dict[str, Any] = answer["data"]
        return data


def _require(found: dict[str, Any]) -> None:
    if "message" in found:
        raise DagitError(f"The definitions do not load: {found['message'].strip()}")
