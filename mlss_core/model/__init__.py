"""The MLSSNet network."""

from mlss_core.model.network import MLSSNet, Responses, Templates

__all__ = ["MLSSNet", "Responses", "Templates"]
