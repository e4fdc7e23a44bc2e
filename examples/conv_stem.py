"""The stem of a vision model: a strided convolution, a bias and a ReLU.

Run it: ``python examples/conv_stem.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from show import show

from nkigen_cp import ops


def stem(image: Any, weight: Any, bias: Any) -> Any:
    """(1, 3, H, W), (C, 3, 7, 7) and (C,) -> (1, C, H / 2, W / 2)."""
    features = ops.conv2d(image, weight, bias, stride=2, padding=3)
    return np.maximum(features, 0)


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, 3, 32, 32), np.float32)
    weight = rng.standard_normal((64, 3, 7, 7), np.float32) / 12
    show(stem, image, weight, rng.standard_normal(64, np.float32))
