"""Several processes that train one model: torchrun starts them, torch's ``fully_shard`` (FSDP2) shares the model out.

The first process opens the checkpoint and decides what trains. The others receive its empty shell, then each its shard
of the weights, one parameter at a time: a host holds the whole model once, whatever the number of its processes.

::

    decoder layers    a shard each; gathered one layer at a time
    projector         sharded (it computes in float32, so it is gathered by itself)
    the rest          embedding, last norm and head: sharded, gathered for the whole pass
    vision tower      whole on every process: it is frozen and small (4 % of chatspot-7b), and each process can then
                      compute features without waiting for the others
"""

from __future__ import annotations

import atexit
import copy
import gc
import math
import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.distributed import DistNetworkError, Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor, distribute_tensor

from chatspot.errors import ChatSpotError, RecipeError, TrainingError
from chatspot.model.checkpoint import Checkpoint
from chatspot.train.step import RegionLoss

PATIENCE = timedelta(hours=1)  # that processes wait for one another; torchrun ends them all when one dies
ANSWER = timedelta(seconds=3)  # within which a living first process answers
LEADER = "chatspot/port"  # the key of the first process's port
CPU = torch.device("cpu")
Value = TypeVar("Value")


@dataclass(frozen=True)
class World:
    """The processes that train together: this one's ``rank``, their number, and this one's device."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def share(self, value: Value | None) -> Value:
        """The first process's ``value``, on every process."""
        box = [value]
        if self.size > 1:
            distributed.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def gather(self, value: Value) -> list[Value]:
        """Every process's ``value``, by rank, on every process."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(values, value)
        return values

    def sum(self, *values: float) -> list[float]:
        """The sums over all processes."""
        summed = torch.tensor(values, dtype=torch.float64)
        if self.size > 1:
            distributed.all_reduce(summed)  # of numbers on the CPU: by gloo, without a wait for the device
        return [float(value) for value in summed]

    def agree(self, problem: ChatSpotError | None = None) -> None:
        """Raise the first ``problem`` that a process has on all of them, so that none waits for one that has left."""
        if self.sum(problem is not None)[0]:
            raise next(found for found in self.gather(problem) if found is not None)


@contextmanager
def open_world() -> Iterator[World]:
    """The world that torchrun's environment names; without torchrun this process alone, and no process group.

    The device is the process's GPU where there is one, else the CPU.
    """
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        yield World(device=device)
        return
    rank = int(os.environ["RANK"])
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(
        backend, timeout=PATIENCE, store=store_of_this_start(rank), rank=rank, world_size=size
    )
    try:
        yield World(rank, size, device)
        distributed.barrier()  # the first process holds the store, so it leaves last
    finally:
        distributed.destroy_process_group()
        # Gloo's threads end with the last that holds the group, such as a sharded model in a cycle of references. Where
        # they outlive Python, a tensor that they let go of aborts the process (pytorch/pytorch#179291).
        atexit.register(gc.collect)


def store_of_this_start(rank: int) -> Store:
    """The store by which the processes find each other.

    torchrun hands one store on to all restarts, in which a process would find the addresses of dead ones
    (pytorch/pytorch #135712). So the first process opens one anew, and the others try the address that they are told
    until it answers: that of a dead process does not.
    """
    told, _, _ = next(rendezvous("env://"))
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return told
    host = os.environ["MASTER_ADDR"]
    if rank == 0:
        own = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)
        told.set(LEADER, str(own.port))
        return own
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while True:
        port = int(told.get(LEADER))
        with suppress(DistNetworkError):
            store = TCPStore(host, port, is_master=False, timeout=ANSWER)
            store.set_timeout(PATIENCE)
            return store
        if time.monotonic() > deadline:
            raise TrainingError(f"no first process of the training answers at {host}:{port}; start the command again")


@dataclass(frozen=True)
class Trainee:
    """What trains on this process: ``loss`` around the checkpoint's model, sharded where there are several processes.

    ``rates``: the learning rate of each parameter that trains, by its name in the model. ``shell``: the model without
    its weights, from which the first process makes it whole again.
    """

    checkpoint: Checkpoint
    rates: dict[str, float]
    loss: RegionLoss
    shell: bytes | None = None

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The model's parameters by name; weights that two layers share stand once."""
        return dict(self.checkpoint.model.named_parameters())


def spread(
    world: World,
    prepare: Callable[[], tuple[Checkpoint, dict[str, float]]],
    attention: str = "sdpa",
    recompute: bool = False,
) -> Trainee:
    """The trainee on this process. ``prepare`` opens the checkpoint on the CPU and chooses what trains; the first
    process alone calls it, and an error of it is raised on all. ``recompute``: keep no activations within decoder
    layers, the backward pass computes them again."""
    prepared, problem = None, None
    if world.first:
        try:
            prepared = prepare()
        except ChatSpotError as error:
            problem = error
    world.agree(problem)
    shell = None
    if world.size == 1:
        assert prepared is not None
        checkpoint, rates = prepared
        nn.Module.to(checkpoint.model, world.device)
        loss = RegionLoss(checkpoint.model, attention)
    else:
        if prepared is not None:
            shell = pickle.dumps((empty_shell(prepared[0]), prepared[1]))
        shell = world.share(shell)
        checkpoint, rates = pickle.loads(shell)
        loss = RegionLoss(checkpoint.model, attention)
        shard(loss, world)
        materialise(checkpoint.model, world.device)
        hand_out(prepared[0].model if prepared else None, checkpoint.model, world)
    if recompute:
        language_model: Any = checkpoint.model.model.language_model
        enable = "activation_checkpointing_enable"  # transformers before 5.23: gradient_checkpointing_enable
        getattr(language_model, enable, language_model.gradient_checkpointing_enable)({"use_reentrant": False})
        language_model.train()  # transformers recomputes in this mode alone; the decoder has no dropout
    return Trainee(checkpoint, rates, loss, shell if world.first else None)


def empty_shell(checkpoint: Checkpoint) -> Checkpoint:
    """A copy whose parameters are on the meta device: structure, settings and buffers without the weights."""
    hollow: dict[int, Any] = {}
    for parameter in checkpoint.model.parameters():
        if type(parameter) is not nn.Parameter:
            raise RecipeError("4-bit weights train on one process; set low_rank.quantised=false to use several")
        hollow[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
    return replace(checkpoint, model=copy.deepcopy(checkpoint.model, hollow))


def shard(loss: RegionLoss, world: World) -> None:
    """Share the parameters out over all processes; gradients are summed in float32."""
    inner: Any = loss.model.model
    options: dict[str, Any] = {
        "mesh": init_device_mesh(world.device.type, (world.size,)),
        "mp_policy": MixedPrecisionPolicy(reduce_dtype=torch.float32),
    }
    for part in (*inner.language_model.layers, inner.multi_modal_projector):
        fully_shard(part, **options)
    fully_shard(loss, ignored_params=set(inner.vision_tower.parameters()), **options)


def materialise(model: nn.Module, device: torch.device) -> None:
    """Give parameters on the meta device memory on ``device``; buffers move there with their values."""
    buffers = dict(model.named_buffers())
    model.to_empty(device=device)
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])
    tie: Any = model
    tie.tie_weights()  # to_empty gives layers that share a weight one each


@torch.no_grad()
def hand_out(source: nn.Module | None, target: nn.Module, world: World) -> None:
    """Copy the parameters of the first process's ``source`` into every process's ``target``."""
    whole_of = dict(source.named_parameters()) if source is not None else {}
    for name, parameter in target.named_parameters():
        whole = torch.empty(parameter.shape, dtype=parameter.dtype, device=world.device)
        if source is not None:
            whole.copy_(whole_of[name])
        distributed.broadcast(whole, src=0)
        if isinstance(parameter, DTensor):
            own = distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)
            parameter.to_local().copy_(own.to_local())
        else:
            parameter.copy_(whole)


@torch.no_grad()
def consolidated(world: World, trainee: Trainee) -> Checkpoint | None:
    """The checkpoint with the whole model on the CPU, on the first process; None on the others. All must call it."""
    if world.size == 1:
        nn.Module.to(trainee.checkpoint.model, "cpu")
        return trainee.checkpoint
    checkpoint = None
    whole_of: dict[str, nn.Parameter] = {}
    if trainee.shell is not None:
        checkpoint = pickle.loads(trainee.shell)[0]
        materialise(checkpoint.model, CPU)
        whole_of = dict(checkpoint.model.named_parameters())
    for name, parameter in trainee.parameters.items():
        whole = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        if checkpoint is not None:
            whole_of[name].copy_(whole)
    return checkpoint


def own_passes(rows: Sequence[Value], world: World, micro_rows: int) -> list[list[Value]]:
    """This process's share of a step's rows, in passes of at most ``micro_rows``.

    Every process has as many passes as the others; a last one may be empty.
    """
    own, most = list(rows[world.rank :: world.size]), math.ceil(len(rows) / world.size)
    return [own[start : start + micro_rows] for start in range(0, max(1, most), micro_rows)]
