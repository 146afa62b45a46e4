# Copyright 2026 The diffusers-jasco authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Optimizers of the training scripts."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from diffusers.optimization import SchedulerType, get_scheduler

from ..utils.optional_imports import import_optional
from .warmup_stable_decay import WarmupStableDecay


OPTIMIZERS = ("adamw", "muon")
# Diffusers' schedules that need no options of their own, and WarmupStableDecay.
LR_SCHEDULERS = (*(kind.value for kind in SchedulerType if kind != SchedulerType.PIECEWISE_CONSTANT), "wsd")


def make_optimizers_and_schedulers(
    model: torch.nn.Module, args: argparse.Namespace
) -> tuple[list[torch.optim.Optimizer], list[torch.optim.lr_scheduler.LRScheduler]]:
    r"""
    Creates the optimizers of a run and a learning rate scheduler for each of them: AdamW, and, with `--optimizer
    muon`, Muon for the matrices of the transformer's blocks. The schedulers must not be prepared by Accelerate, which
    would step them once per process.

    Args:
        model (`torch.nn.Module`): the model.
        args (`argparse.Namespace`): options of [`~training.arguments.add_training_options`].
    """
    adam = {"betas": (args.adam_beta1, args.adam_beta2), "epsilon": args.adam_epsilon, "use_8bit": args.use_8bit_adam}
    matrices = block_matrices(model) if args.optimizer == "muon" else []
    optimizers: list[torch.optim.Optimizer] = [
        make_optimizer(model, args.learning_rate, weight_decay=args.weight_decay, excluded=matrices, **adam)
    ]
    if matrices:
        rate = args.learning_rate if args.muon_learning_rate is None else args.muon_learning_rate
        optimizers.append(make_muon(matrices, rate, args.weight_decay))
    if args.lr_scheduler == "wsd":
        length = args.warmup_steps, args.max_steps, args.decay_share, args.total_minutes
        return optimizers, [WarmupStableDecay(optimizer, *length) for optimizer in optimizers]
    steps = {"num_warmup_steps": args.warmup_steps, "num_training_steps": args.max_steps}
    return optimizers, [get_scheduler(args.lr_scheduler, optimizer, **steps) for optimizer in optimizers]


def block_matrices(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The trainable weights of the linear layers in the transformer's blocks."""
    return [
        module.weight
        for name, module in model.named_modules()
        if "transformer_blocks." in name and isinstance(module, torch.nn.Linear) and module.weight.requires_grad
    ]


def make_muon(matrices: Sequence[torch.nn.Parameter], learning_rate: float, weight_decay: float) -> "torch.optim.Muon":
    r"""
    Creates a Muon optimizer, which orthogonalizes the updates of matrices (Jordan et al., 2024). Its updates are
    scaled to the size of AdamW's, so that both can have the same learning rate (Liu et al., 2025,
    [arXiv 2502.16982](https://arxiv.org/abs/2502.16982), §2.2).

    Args:
        matrices (`Sequence[torch.nn.Parameter]`): 2D parameters.
        learning_rate (`float`): peak learning rate.
        weight_decay (`float`): weight decay.

    Raises:
        `ImportError`: before PyTorch 2.9.
    """
    if not hasattr(torch.optim, "Muon"):
        raise ImportError(f'Muon needs PyTorch 2.9, but this is {torch.__version__}: pip install "torch>=2.9"')
    options = {"lr": learning_rate, "weight_decay": weight_decay, "adjust_lr_fn": "match_rms_adamw"}
    return torch.optim.Muon(matrices, **options)


def make_optimizer(
    model: torch.nn.Module,
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
    weight_decay: float,
    use_8bit: bool = False,
    excluded: Iterable[torch.nn.Parameter] = (),
) -> torch.optim.Optimizer:
    r"""
    Creates an AdamW optimizer for a model's trainable parameters.

    Args:
        model (`torch.nn.Module`): the model.
        learning_rate (`float`): peak learning rate.
        betas (`tuple[float, float]`): decays of the moving averages of the gradient and its square.
        epsilon (`float`): constant in the denominator.
        weight_decay (`float`): weight decay, except for biases, norms and embeddings.
        use_8bit (`bool`, defaults to `False`):
            Whether the moving averages are stored in 8 bits, a quarter of the memory (bitsandbytes).
        excluded (`Iterable[torch.nn.Parameter]`, *optional*):
            Parameters that another optimizer updates.

    Raises:
        `ImportError`: for 8-bit AdamW without bitsandbytes.
    """
    others = {id(parameter) for parameter in excluded}
    groups = [
        group | {"params": [parameter for parameter in group["params"] if id(parameter) not in others]}
        for group in parameter_groups(model, weight_decay)
    ]
    options = {"lr": learning_rate, "betas": betas, "eps": epsilon}
    if not use_8bit:
        return fused_adamw(groups, **options)
    return import_optional("bitsandbytes.optim", "bitsandbytes").AdamW8bit(groups, **options)


def fused_adamw(parameters: Iterable[torch.Tensor] | Iterable[dict], **options: Any) -> torch.optim.AdamW:
    r"""
    Creates AdamW with PyTorch's fused implementation: on a CPU, several times faster than the default.

    Args:
        parameters (`Iterable`): parameters or parameter groups.
        options: options of [`~torch.optim.AdamW`].
    """
    optimizer = torch.optim.AdamW(parameters, **options, fused=True)
    # Loading a checkpoint overrides the options; one that was written by another AdamW should still resume fused.
    optimizer.register_load_state_dict_pre_hook(_as_fused)
    return optimizer


def _as_fused(optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    groups = [group | {"fused": True, "foreach": None} for group in state_dict["param_groups"]]
    return state_dict | {"param_groups": groups}


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict]:
    """
    Splits the trainable parameters into matrices, with weight decay, and biases, norms, embeddings and the modulations
    of norms, without.
    """
    embeddings = {id(p) for m in model.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters()}
    embeddings |= {id(p) for name, p in model.named_parameters() if name.endswith("scale_shift_table")}
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [p for p in parameters if p.ndim >= 2 and id(p) not in embeddings]
    others = [p for p in parameters if p.ndim < 2 or id(p) in embeddings]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def check_sharding(accelerator: Accelerator, args: argparse.Namespace):
    r"""
    Raises a `ValueError` if the optimizer can't be used with sharded weights: Muon needs whole matrices.

    Args:
        accelerator (`Accelerator`): the processes.
        args (`argparse.Namespace`): `optimizer`.
    """
    kind = accelerator.distributed_type
    if args.optimizer == "muon" and kind in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        raise ValueError(f"--optimizer muon can't be used with {kind.value}, which shards the weights: use adamw.")


def configure_deepspeed(accelerator: Accelerator, args: argparse.Namespace):
    r"""
    Configures DeepSpeed, if it is used: it handles batches, clipping and mixed precision, and keeps the weights in
    float32, as bfloat16 is too coarse for an EMA. Call it before `accelerator.prepare`.

    Args:
        accelerator (`Accelerator`): the processes.
        args (`argparse.Namespace`):
            `batch_size`, `gradient_accumulation_steps`, `max_grad_norm` and `mixed_precision`.

    Raises:
        `ValueError`: for fp16.
    """
    if accelerator.distributed_type != DistributedType.DEEPSPEED:
        return
    if args.mixed_precision == "fp16":
        raise ValueError("With DeepSpeed, `mixed_precision` has to be bf16 or no, but is fp16.")
    accelerator.deepspeed_plugin.deepspeed_config |= {
        "train_micro_batch_size_per_gpu": args.batch_size,
        "gradient_accumulation_steps": args.gradient_accumulation_steps,
        "gradient_clipping": args.max_grad_norm,
        "bf16": {"enabled": False},
        "torch_autocast": {"enabled": args.mixed_precision == "bf16", "dtype": "bfloat16"},
    }
