"""The PyTorch backend."""

from archc.backends.python.backend import python_backend
from archc.backends.torch.language import LANGUAGE

BACKEND = python_backend(__name__, LANGUAGE, "torch", trains=True)
