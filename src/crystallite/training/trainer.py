"""One network in training: a step, an epoch, validation, and a state that can be saved and taken up again.

All randomness is a function of the seed and the step, so the state is weights and counters and a resumed
training run repeats the uninterrupted one bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..computing import distributed
from ..computing.threads import own_threads
from ..errors import DivergedError
from ..evaluation.results import Result, epoch_result
from ..models.checkpoint import TrainedModel
from ..models.inference import network_outputs
from ..models.torch_networks import arrays_of
from ..network.batches import batch_inputs, over_processes
from ..network.model import CrystalNetwork
from ..settings.config import GraphConfig
from .epoch_order import epoch_order
from .learner import Learner
from .optimization import MovingAverage, learning_rate, loss_of
from .optimizers import make_optimizer
from .recorded import RecordedGradients


class Trainer(Learner):
    """A network, its optimiser and where they are in the training run; `step` counts all steps taken."""

    def __init__(self, network: CrystalNetwork, *arguments: Any) -> None:
        """arguments: of Learner."""
        super().__init__(*arguments)
        config = self.config
        self.network = network.train()
        self.average = MovingAverage(network, config.averaging) if config.averaging else None
        self.recorded = self._recorded()
        self.optimizer = make_optimizer(network, config)
        self.steps_per_epoch = math.ceil(len(self.split.train) / config.batch_size)
        self.loss_sum = 0.0

    @property
    def device(self) -> str:
        """Where the network is."""
        return str(self.network.centers.device)

    @property
    def kept_network(self) -> CrystalNetwork:
        """The network to validate and keep: the running average where there is one."""
        return self.average.network if self.average else self.network

    def run_epoch(self, after_step: Callable[[float], None] = lambda loss: None) -> Result:
        """Train to the end of the current epoch, validate and return the new history entry.

        `after_step` is called with each step's loss; an exception from it leaves a state that can be saved.
        """
        order = epoch_order(self.split.train, self.graphs.n_bytes, self.config.seed, self.epoch)
        batches = equal_batches(order, self.config.batch_size)
        for rows in batches[self.step - self.epoch * self.steps_per_epoch :]:
            after_step(self.train_step(rows))
        if not all(bool(tensor.isfinite().all()) for tensor in self.kept_network.state_dict().values()):
            raise self.diverged("weights are not finite")
        entry = {
            "epoch": self.epoch + 1,
            "learning_rate": self._learning_rate(self.step - 1),
            "loss": self.loss_sum / len(self.split.train),
            **self.validate(),
        }
        self.history.append(entry)
        self.loss_sum = 0.0
        return entry

    @own_threads()
    def train_step(self, rows: NDArray[np.int64]) -> float:
        """Take one step on the given rows and return its loss.

        Several processes take a share of the rows each, and the same step.
        """
        if self.network.dropout.p:
            torch.manual_seed(_mixed_seed(self.config.seed, self.step, distributed.rank()))
        value = self.recorded.put(rows) if self.recorded else self._put_gradients(rows)
        if not math.isfinite(value):
            raise self.diverged(f"the loss is {value}")
        self.optimizer.step(self._learning_rate(self.step))
        if self.average is not None:
            self.average.update(self.step)
        self.step += 1
        self.loss_sum += value * len(rows)
        return value

    def diverged(self, how: str) -> DivergedError:
        """Return the error of a network whose numbers are not finite any more."""
        largest = f"{self.config.learning_rate:g}"
        return DivergedError(
            f"{super().diverged(how)}; lower the learning rate (--lr, now at most {largest})"
        )

    def _put_gradients(self, rows: NDArray[np.int64]) -> float:
        """Put the gradients of the mean loss, over all processes, into the parameters; return that loss."""
        loss, weight = self._loss(distributed.own_share(rows))
        self.optimizer.zero_grad()
        (loss / len(rows)).backward()  # type: ignore[no-untyped-call]
        sums = distributed.add_gradients(self.network, np.array([float(loss.detach()), float(weight)]))
        self._scale_gradients(len(rows) / max(sums[1], 1e-30))
        return float(sums[0] / max(sums[1], 1e-30))

    def _scale_gradients(self, factor: float) -> None:
        """Make up for missing targets and sample weights, which move the mean's denominator."""
        if factor != 1:
            for parameter in self.network.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)

    def _loss(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the sum of the weighted losses of the rows, and the sum of weights."""
        outputs = self.network(over_processes(batch_inputs(self.network, self.graphs, rows)))
        index = torch.from_numpy(rows)
        targets = self.normalized[index].to(outputs.device, outputs.dtype)
        weights = None if self.weights is None else self.weights[index].to(outputs.device, outputs.dtype)
        return self._loss_of(outputs, targets, weights)

    def _loss_of(self, outputs: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        return loss_of(outputs, targets, self.config, self.targets.task, weights)

    def _recorded(self) -> RecordedGradients | None:
        """Return what computes gradients on a GPU, unless several processes share the batches."""
        if self.network.embedding.weight.device.type != "cuda" or distributed.n_processes() > 1:
            return None
        size = min(self.config.batch_size, max(len(self.split.train), 1))
        return RecordedGradients(
            self.network, self.graphs, self.normalized, self.weights, self._loss_of, size
        )

    def outputs(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (rows, outputs) of the network that is kept, each process computing its share."""
        return distributed.shared_out(
            rows, lambda share: network_outputs(self.kept_network, self.graphs, share)
        )

    def trained_model(self, graph: GraphConfig, info: dict[str, Any]) -> TrainedModel:
        """Return the model of the network that is kept."""
        return TrainedModel.of(self.kept_network, graph, self.targets, info, self.seen)

    def take_back(self, model: TrainedModel) -> None:
        """Continue with the weights of what `trained_model` returned before."""
        self.kept_network.load_state_dict(model.network.state_dict())

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything the rest of the training run depends on, as named arrays and plain numbers."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.average is not None:
            tensors |= {
                f"average.{name}": tensor for name, tensor in self.average.network.state_dict().items()
            }
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state().items()}
        return arrays_of(tensors), {"step": self.step, "loss_sum": self.loss_sum, "history": self.history}

    def load_state(self, arrays: dict[str, NDArray[Any]], counters: dict[str, Any]) -> None:
        """Take up the training run where `state` was called."""
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
        for name, array in arrays.items():
            tensor = torch.from_numpy(array)
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        self.network.load_state_dict(parts["network"])
        if self.average is not None:
            self.average.network.load_state_dict(parts["average"])
        self.optimizer.load_state(parts["optimizer"])
        self.step, self.loss_sum = int(counters["step"]), float(counters["loss_sum"])
        self.history = [epoch_result(entry, self.targets.names) for entry in counters["history"]]

    def _learning_rate(self, step: int) -> float:
        return learning_rate(self.config, step, self.steps_per_epoch)


def equal_batches(rows: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Cut rows into the fewest batches of at most `batch_size`, which differ by one row at most.

    Cut at `batch_size`, an epoch would end with a batch of what is left, such as one crystal, whose gradient
    and batch-norm moments would count as much as those of a whole batch.
    """
    return np.array_split(rows, math.ceil(len(rows) / batch_size))


def _mixed_seed(seed: int, step: int, rank: int) -> int:
    """One 63-bit seed for each step of each process of each training run."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)
