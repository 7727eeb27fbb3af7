"""Shipping, against engines and readers that are real: dockerd, Podman, skopeo."""
