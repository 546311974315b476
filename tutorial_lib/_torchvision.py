"""Import torchvision, also where its compiled half does not match the installed torch.

A CPU build of torch beside a CUDA build of torchvision fails at import with "operator torchvision::nms does not
exist". Datasets, transforms and models need no compiled operator: declaring the missing two is enough.
`ops.nms` and `io.decode_jpeg` stay unavailable. Import this module before `torchvision` or `timm`.
"""

import sys

import torch

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    _LIBRARY = torch.library.Library("torchvision", "DEF")  # lives as long as this module
    _LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for _name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[_name]
    import torchvision

__all__ = ["torchvision"]
