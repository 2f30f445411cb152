"""Writes torch_zip.pth and torch_legacy.pth: one state dict in both formats of torch.save. Needs torch."""

from collections import OrderedDict

import torch

state = OrderedDict()
state["conv.weight"] = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8
state["turned.weight"] = (torch.arange(12, dtype=torch.float32).reshape(3, 4) - 5).t()  # strides (1, 4)
state["part.bias"] = torch.arange(10, dtype=torch.float32)[3:7]  # a view of a larger storage
state["bn.num_batches_tracked"] = torch.tensor(7)
state["scalar"] = torch.nn.Parameter(torch.tensor(2.5))
state._metadata = OrderedDict([("", {"version": 1})])
torch.save(state, "torch_zip.pth")
torch.save({"epoch": 3, "rate": 0.1, "state_dict": state}, "torch_legacy.pth", _use_new_zipfile_serialization=False)
