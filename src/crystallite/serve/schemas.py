"""What goes into the routes and comes out of them: the OpenAPI description is made of this."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

MOST_NEIGHBOURS = 10
MOST_MODELS = 64
Name = Annotated[str, Field(max_length=200)]
Models = Annotated[list[Name], Field(min_length=1, max_length=MOST_MODELS)]
Interval = Annotated[float, Field(gt=0, lt=100)]
Neighbours = Annotated[int, Field(ge=0, le=MOST_NEIGHBOURS)]


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Structure(_Question):
    """A text with structures: CIF, POSCAR, extended XYZ, or JSON of pymatgen, ASE, OPTIMADE and others."""

    name: Annotated[str, Field(max_length=1_000, description="A file's name, which says the format.")] = ""
    text: str


MOST_STRUCTURES = 10_000  # beyond the limit of any server: so many are not even looked at
Structures = Annotated[list[Structure], FailFast(), Field(min_length=1, max_length=MOST_STRUCTURES)]


class PredictQuestion(_Question):
    """Structures, the models to ask, and what to tell beside the values."""

    structures: Structures
    models: Models = ["all"]
    interval: Annotated[
        Interval | None, Field(description="Percent of the true values an interval holds.")
    ] = None
    neighbours: Neighbours = 0


class EmbedQuestion(_Question):
    """Structures, and the model whose vectors are wanted."""

    structures: Structures
    model: Name


class CrystalQuestion(Structure):
    """A text with structures, and a model whose contributions of atoms are wanted."""

    model: Name | None = None
    material_id: Annotated[str | None, Field(description="Id of the only one that is wanted.")] = None


class Problem(BaseModel):
    """A text that cannot be used, and why."""

    source: str
    reason: str


class Neighbour(BaseModel):
    """A training crystal near the one asked for. distance: in the model's embedding, without a unit."""

    id: str
    distance: float
    value: float | None


class Property(BaseModel):
    """A predicted property. value: of classes the probability of class 1.

    std: standard deviation of its error. lower, upper: ends of the interval; of classes the smallest and the
    largest of the prediction set. novelty: percent of held-out crystals that are nearer to the training data.
    """

    name: str
    model: str
    unit: str
    value: float
    std: float | None
    lower: float | None
    upper: float | None
    novelty: float | None
    unseen_elements: list[str]
    neighbours: list[Neighbour]


class Prediction(BaseModel):
    """What is predicted of a crystal. source: the name of the text it was in."""

    material_id: str
    source: str
    formula: str
    properties: list[Property]


class Predictions(BaseModel):
    """Predictions of the crystals that can be used, and why others cannot."""

    predictions: list[Prediction]
    errors: list[Problem]
    notices: list[str]


class Vector(BaseModel):
    """The vector of a crystal."""

    material_id: str
    source: str
    vector: list[float]


class Embeddings(BaseModel):
    """Vectors of the crystals that can be used, and why others cannot."""

    model: str
    embeddings: list[Vector]
    errors: list[Problem]
    notices: list[str]


class Distribution(BaseModel):
    """Histogram of the training values, in their unit; scale: on which the bins are equally wide."""

    scale: Literal["linear", "log10"]
    edges: list[float]
    counts: list[int]


class Target(BaseModel):
    """A property that a model predicts."""

    name: str
    unit: str
    test_error: str
    distribution: Distribution | None


class Model(BaseModel):
    """A model. intervals: whether it knows its errors and training data."""

    name: str
    about: str
    origin: Literal["package", "run"]
    task: Literal["regression", "classification"]
    intervals: bool
    atom_contributions: bool
    targets: list[Target]


class ModelCard(Model):
    """A model with its card, as Markdown."""

    card: str


class ModelList(BaseModel):
    """All models."""

    models: list[Model]


class Crystals(BaseModel):
    """Crystals to draw, and why others cannot be used; docs/serve.md says what is in them."""

    crystals: list[dict[str, Any]]
    errors: list[Problem]
    notices: list[str]


class Run(BaseModel):
    """A run folder. epoch: the last one so far."""

    name: str
    state: Literal["training", "finished", "stopped"]
    epoch: int
    epochs: int
    targets: list[str]


class Runs(BaseModel):
    """All run folders."""

    runs: list[Run]


class RunView(Run):
    """A run folder with its epochs, and true and predicted values of the test set."""

    history: list[dict[str, Any]]
    unit: dict[str, str]
    parity: list[dict[str, Any]]


class Example(BaseModel):
    """A crystal to try."""

    name: str
    file: str
    text: str


class Examples(BaseModel):
    """Crystals to try."""

    examples: list[Example]


class Refusal(BaseModel):
    """Why a request is refused."""

    detail: str
    errors: list[Problem] = []


class Health(BaseModel):
    """Whether the server answers; ready: whether its models are loaded."""

    status: Literal["ok"]
    version: str
    ready: bool
