"""The Keras backend: Keras 3 alone, so that what it emits runs on each of Keras's own backends."""

from archc.backends.keras.language import LANGUAGE
from archc.backends.python.backend import python_backend

BACKEND = python_backend(__name__, LANGUAGE, "keras and tensorflow", storage="files", trains=True)
