"""Trained models that ship with xanesml: a folder each, with a model card and a manifest."""

from xanesml.models.shipped import MANIFEST, Manifest, Shipped, shipped_model, shipped_models, write_manifest

__all__ = ["MANIFEST", "Manifest", "Shipped", "shipped_model", "shipped_models", "write_manifest"]
