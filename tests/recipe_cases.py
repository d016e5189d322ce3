"""Recipes that the tests make: each optimizer, schedule and convention by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Part = Mapping[str, Any]

_OPTIMIZERS: Mapping[str, Part] = {
    "sgd": {"sgd": {}},
    "sgd_as_pytorch": {"sgd": {"momentum": 0.9, "learning_rate_in": "update"}},
    "nesterov_as_pytorch": {
        "sgd": {"momentum": 0.9, "nesterov": True, "learning_rate_in": "update"}
    },
    "sgd_as_keras": {"sgd": {"momentum": 0.9, "learning_rate_in": "momentum"}},
    "nesterov_as_keras": {
        "sgd": {"momentum": 0.9, "nesterov": True, "learning_rate_in": "momentum"}
    },
    "rmsprop_as_tensorflow": {
        "rmsprop": {
            "decay": 0.9,
            "momentum": 0.9,
            "epsilon": 1e-3,
            "epsilon_added": "inside_root",
            "learning_rate_in": "momentum",
            "start": 1,
        }
    },
    "rmsprop_as_keras": {
        "rmsprop": {
            "decay": 0.9,
            "momentum": 0.9,
            "epsilon": 1e-3,
            "epsilon_added": "inside_root",
            "learning_rate_in": "momentum",
            "centered": True,
        }
    },
    "rmsprop_as_pytorch": {
        "rmsprop": {
            "decay": 0.9,
            "momentum": 0.9,
            "epsilon": 1e-3,
            "epsilon_added": "outside_root",
            "learning_rate_in": "update",
            "centered": True,
        }
    },
    "adam_as_pytorch": {
        "adam": {
            "beta1": 0.9,
            "beta2": 0.999,
            "epsilon": 1e-3,
            "epsilon_added": "after_correction",
        }
    },
    "adam_as_keras": {
        "adam": {
            "beta1": 0.9,
            "beta2": 0.999,
            "epsilon": 1e-3,
            "epsilon_added": "before_correction",
        }
    },
}

OPTIMIZERS = {name: {"optimizer": said} for name, said in _OPTIMIZERS.items()}

SCHEDULES: Mapping[str, Part] = {
    "constant": {},
    "smooth": {
        "schedule": {"exponential": {"factor": 0.5, "every": "1.5 epochs", "staircase": False}}
    },
    "step": {"schedule": {"step": {"factor": 0.5, "every": "1 epoch"}}},
    "milestones": {"schedule": {"multi_step": {"factor": 0.1, "at": ["1 epoch", "2.4 epochs"]}}},
    "cosine": {"schedule": {"cosine": {"to": 1e-4}}},
    "polynomial": {"schedule": {"polynomial": {"to": 0, "power": 2}}},
    "one_cycle": {"schedule": {"one_cycle": {"start": 1e-3, "to": 1e-4, "share": 0.3}}},
    "cosine_after_warm_up": {
        "schedule": {"cosine": {"to": 1e-4}},
        "warm_up": {"over": "1 epoch", "start": 1e-4, "shifts": True},
    },
    "each_epoch": {
        "schedule": {"cosine": {"to": 0}, "per": "epoch"},
        "warm_up": {"over": "1 epoch", "start": 0, "shifts": False},
    },
    "steps_each_epoch": {
        "schedule": {"step": {"factor": 0.5, "every": "1.4 epochs"}, "per": "epoch"},
        "warm_up": {"over": "4 steps", "start": 0, "shifts": True},
    },
    "polynomial_after_warm_up": {
        "schedule": {"polynomial": {"to": 1e-4, "power": 1}},
        "warm_up": {"over": "4 steps", "start": 0, "shifts": True},
    },
}

DECAYS: Mapping[str, Part] = {
    "none": {},
    "coupled": {"weight_decay": {"rate": 0.01, "kind": "coupled"}},
    "coupled_but": {"weight_decay": {"rate": 0.01, "kind": "coupled", "skip": ["bias", "norm"]}},
    "decoupled": {"weight_decay": {"rate": 0.01, "kind": "decoupled"}},
    "decoupled_but": {
        "weight_decay": {
            "rate": 0.01,
            "kind": "decoupled",
            "skip": ["bias", "norm", "depthwise"],
        }
    },
}

REST: Mapping[str, Part] = {
    "plain": {"loss": {"cross_entropy": {"smoothing": 0}}},
    "clipped": {
        "loss": {"cross_entropy": {"smoothing": 0.1}},
        "clip": {"norm": 0.5, "over": "all"},
        "ema": {"decay": 0.9, "statistics": True, "begin": "initial"},
    },
    "squared": {
        "loss": {"mean_squared": {}},
        "clip": {"norm": 0.1, "over": "each"},
        "ema": {"decay": 0.9, "statistics": False, "begin": "first_step"},
    },
    "mixed": {
        "loss": {"cross_entropy": {"smoothing": 0.1}},
        "augment": [
            {"flip": {"probability": 0.5}},
            {"shift": {"pixels": 2}},
            {"random_resized_crop": {"area": [0.5, 1], "ratio": [0.75, 1.25]}},
            {"mixup": {"alpha": 0.2}},
        ],
        "normalize": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    },
}


def written(folder: Path, *parts: Part, name: str = "case", **more: Any) -> Path:
    """A recipe of these parts, in a file."""
    said: dict[str, Any] = {"archc": 1, "recipe": name, "learning_rate": 0.01}
    said |= {"batch_size": 4, "epochs": 4}
    for part in (*parts, more):
        said |= part
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(said, indent=1), encoding="utf-8")  # which is YAML too
    return path
