"""The playbooks: what an image is. A file dropped in here is a task, ``build-<its function>``."""
