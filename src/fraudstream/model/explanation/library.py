"""The explainers of a directory of models, by the id that an alert carries: loaded when first asked for, few kept."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fraudstream.errors import ModelError
from fraudstream.model.artifact import is_artifact, load_artifact
from fraudstream.model.current import read_current
from fraudstream.model.explanation.explainer import Explainer
from fraudstream.model.rollback import aliases_at

KEPT: Final = 4
"""Explainers held at once: a forest takes tens of megabytes, and alerts mostly come from one model."""

_NO_ALIASES: Final[Mapping[str, str]] = {}
_ALIASES_KEPT: Final = 256


class ExplainerLibrary:
    """Finds the artifact of an alert beside what is in force."""

    def __init__(self, model: Path) -> None:
        """Take a model path: an artifact, a `current` file, or a directory with one."""
        self._model = model
        self._lock = threading.Lock()
        self._explainers: OrderedDict[str, Explainer] = OrderedDict()
        self._aliases: dict[int, Mapping[str, str]] = {}

    @property
    def models_dir(self) -> Path:
        """Where the artifacts stand beside one another."""
        is_directory = self._model.is_dir() and not is_artifact(self._model)
        return self._model if is_directory else self._model.absolute().parent

    def of(self, model_id: str, revision: int | None) -> tuple[Explainer, Mapping[str, str]]:
        """The explainer of a model, and the aliases of a revision of the deployment.

        Raises ModelError where the artifact is gone, was changed, or is of a kind unknown to this version.
        """
        with self._lock:
            found = self._explainers.get(model_id)
            if found is None:
                found = self._explainers[model_id] = Explainer(load_artifact(self.models_dir / Path(model_id).name))
                while len(self._explainers) > KEPT:
                    self._explainers.popitem(last=False)
            self._explainers.move_to_end(model_id)
            return found, self._aliases_of(revision)

    def _aliases_of(self, revision: int | None) -> Mapping[str, str]:
        if not revision:  # an artifact that was named directly has none
            return _NO_ALIASES
        if revision not in self._aliases:
            aliases = self._look_up(revision)
            if aliases is None:
                return _NO_ALIASES
            if len(self._aliases) >= _ALIASES_KEPT:
                self._aliases.clear()
            self._aliases[revision] = aliases
        return self._aliases[revision]

    def _look_up(self, revision: int) -> Mapping[str, str] | None:
        try:
            found = aliases_at(self.models_dir, revision)
            return found if found is not None else read_current(self.models_dir / "current").aliases
        except ModelError:
            return None
