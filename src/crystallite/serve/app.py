"""The routes: what a server answers, version 1. docs/serve.md describes them for people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from .. import __version__
from ..errors import CrystalError, CrystalliteError
from ..models.card import card_text
from ..models.ready import ALL, ready_models
from ..models.tables import Extras, check_extras
from ..sources.reading.texts import StructureText, different_names
from . import run_views, schemas
from .answers import CsvAnswer, as_json
from .batching import StoppingError
from .catalogue import Catalogue, UnknownModelError
from .drawing import drawings
from .evaluation import Embedding, Prediction
from .guard import Guard
from .measurements import Measured
from .reading import Budget, TooMuchError
from .service import Answered, Service, SlowError, problems
from .settings import ServeSettings
from .streams import LinesResponse, streamed_predictions

HERE = Path(__file__).parent
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Refusal, "description": why}
    for status, why in {
        400: "Asked under a name that is not the server's.",
        401: "Without the server's token.",
        403: "From a page of another site.",
        404: "No such model or run.",
        408: "It has not arrived in time.",
        413: "Too large, or too many structures or atoms.",
        422: "Nothing that can be used.",
        429: "Too many requests at once; Retry-After says when to come again.",
        503: "Not answered in time, or the server is stopping.",
    }.items()
}


def create_app(settings: ServeSettings) -> Measured:
    """Return the ASGI application."""
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(service.warm_up())  # the page shows before the models are loaded
        yield
        warming.cancel()
        await service.close()

    app = FastAPI(
        title="Crystallite",
        version=__version__,
        summary="Properties of crystals from their structure.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # these two load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    _add_measurements(app, service)
    _add_refusals(app)
    _add_models(app, service)
    _add_predictions(app, service)
    _add_runs(app, service)
    _add_page(app)
    return Measured(Guard(app, settings), service.measurements)


def _add_measurements(app: FastAPI, service: Service) -> None:
    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(service.measurements.text(), media_type="text/plain; version=0.0.4")

    @app.get("/health")
    async def health() -> schemas.Health:
        """Say that the server is there."""
        return schemas.Health(status="ok", version=__version__, ready=service.is_ready)


def _add_refusals(app: FastAPI) -> None:
    """Answer problems with a status and the reason."""
    statuses: dict[type[Exception], int] = {
        UnknownModelError: 404,
        CrystalliteError: 422,
        TooMuchError: 413,
        SlowError: 503,
        StoppingError: 503,
    }

    async def refuse(request: Request, error: Exception) -> Response:
        status = next(status for kind, status in statuses.items() if isinstance(error, kind))
        headers = {"Retry-After": "5"} if status == 503 else {}
        return JSONResponse({"detail": str(error), "errors": []}, status, headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if "json" not in request.headers.get("content-type", "") and request.method == "POST":
            why = "send JSON, with the header Content-Type: application/json"
        else:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"][1:])
            why = f"{place or 'the request'}: {first['msg']}"
            why = why if first["type"] != "json_invalid" else f"no JSON: {first['ctx']['error']}"
        return JSONResponse({"detail": why, "errors": []}, 422)

    for kind in statuses:
        app.add_exception_handler(kind, refuse)
    app.add_exception_handler(RequestValidationError, invalid)


def _add_models(app: FastAPI, service: Service) -> None:
    catalogue = service.catalogue

    @app.get("/api/v1/models", responses=REFUSALS)
    async def models() -> schemas.ModelList:
        """List the models."""
        described = await service.in_reader(catalogue.all_described)
        return schemas.ModelList(models=[schemas.Model(**one) for one in described])

    @app.get("/api/v1/models/{name:path}", responses=REFUSALS)
    async def model(name: str) -> schemas.ModelCard:
        """Return a model with its card."""
        described = await service.in_reader(catalogue.described, name)
        ready = ready_models().get(name)
        return schemas.ModelCard(**described, card=card_text(ready.card, [name]) if ready else "")


def _add_predictions(app: FastAPI, service: Service) -> None:
    @app.post(
        "/api/v1/predict",
        responses={**REFUSALS, 200: {"model": schemas.Predictions, "content": {"text/csv": {}}}},
    )
    async def predict(question: schemas.PredictQuestion, request: Request) -> Response:
        """Predict properties of crystals; with `Accept: text/csv` as the table of `crystallite predict`."""
        asked = Prediction(tuple(question.models), Extras(question.interval, question.neighbours))
        selected = await service.in_reader(service.catalogue.select, asked.models)
        csv = None
        if request.headers.get("accept", "").partition(",")[0].startswith("text/csv"):
            check_extras([one.predictor for one in selected], asked.extras)
            csv = CsvAnswer(selected, asked.extras)
        predictions, errors, notices = [], [], []
        async for part in _parts(service, question.structures, asked, request):
            if csv:
                csv.add(part.crystals, part.results)
            predictions += [
                as_json(sent, row, selected, asked.extras)
                for sent, row in zip(part.crystals, part.results, strict=True)
            ]
            errors += problems(part.errors)
            notices += part.notices
        if not predictions:
            return _nothing(errors)
        if csv:
            return Response(csv.text(), media_type="text/csv", headers={"X-Errors": str(len(errors))})
        return JSONResponse({"predictions": predictions, "errors": errors, "notices": notices})

    @app.post("/api/v1/predict/stream", responses=REFUSALS)
    async def predict_stream(
        request: Request,
        models: Annotated[schemas.Models, Query()] = ["all"],  # noqa: B006 (FastAPI copies it)
        interval: Annotated[schemas.Interval | None, Query()] = None,
        neighbours: Annotated[schemas.Neighbours, Query()] = 0,
    ) -> LinesResponse:
        """Predict crystals that come as lines {"name", "text"} of JSON; each is answered with a line."""
        asked = Prediction(tuple(models), Extras(interval, neighbours))
        selected = await service.in_reader(service.catalogue.select, asked.models)
        return LinesResponse(streamed_predictions(service, request.stream(), selected, asked))

    @app.post("/api/v1/embed", responses={**REFUSALS, 200: {"model": schemas.Embeddings}})
    async def embed(question: schemas.EmbedQuestion, request: Request) -> Response:
        """Return the vectors that a model reads its predictions from."""
        if question.model == ALL:
            raise HTTPException(422, "vectors are those of one model: name it")
        await service.in_reader(service.catalogue.select, [question.model])
        embeddings, errors, notices = [], [], []
        async for part in _parts(service, question.structures, Embedding(question.model), request):
            embeddings += [
                {"material_id": sent.id, "source": sent.source, "vector": vector.tolist()}
                for sent, vector in zip(part.crystals, part.results, strict=True)
            ]
            errors += problems(part.errors)
            notices += part.notices
        if not embeddings:
            return _nothing(errors)
        return JSONResponse(
            {"model": question.model, "embeddings": embeddings, "errors": errors, "notices": notices}
        )

    @app.post("/api/v1/crystals", responses={**REFUSALS, 200: {"model": schemas.Crystals}})
    async def crystals(question: schemas.CrystalQuestion) -> Response:
        """Return the crystals of a text as the page draws them."""
        [name] = different_names([question.name])
        text, budget = StructureText(name, question.text), Budget(service.settings.limits)

        def draw() -> tuple[list[dict[str, Any]], list[CrystalError], list[str]]:
            model = question.model and service.catalogue.select([question.model])[0].predictor
            return drawings(text, budget, question.material_id, model or None)

        found, errors, notices = await service.in_reader(draw)
        if not found:
            return _nothing(problems(errors))
        return JSONResponse({"crystals": found, "errors": problems(errors), "notices": notices})


async def _parts(
    service: Service,
    structures: list[schemas.Structure],
    question: Prediction | Embedding,
    request: Request,
) -> AsyncIterator[Answered]:
    """Yield the answers of structures part by part, as long as the client is there."""
    most = service.settings.limits.structures
    if len(structures) > most:
        raise TooMuchError(f"{len(structures):,} structures; this server takes {most:,} at once")
    texts = [StructureText(one.name, one.text) for one in structures]
    async for part in service.answers(texts, question, Budget(service.settings.limits)):
        yield part
        if await request.is_disconnected():
            return


def _nothing(errors: list[dict[str, str]]) -> Response:
    why = f"{errors[0]['source']}: {errors[0]['reason']}" if errors else "no crystals"
    more = f" (and {len(errors) - 1:,} more)" if len(errors) > 1 else ""
    return JSONResponse({"detail": f"none of the structures can be used; {why}{more}", "errors": errors}, 422)


def _add_runs(app: FastAPI, service: Service) -> None:
    @app.get("/api/v1/runs", responses=REFUSALS)
    async def runs() -> schemas.Runs:
        """List the run folders that the server was started with."""
        return schemas.Runs(runs=await service.in_reader(_all_runs, service.catalogue))

    @app.get("/api/v1/runs/{name:path}", responses=REFUSALS)
    async def run(name: str) -> schemas.RunView:
        """Return the epochs of a run so far, and its test at the end."""
        folders = await service.in_reader(service.catalogue.run_folders)
        if name not in folders:
            raise HTTPException(404, f"no run {name[:200]}")
        return schemas.RunView(**await service.in_reader(run_views.view, name, folders[name]))


def _all_runs(catalogue: Catalogue) -> list[schemas.Run]:
    return [
        schemas.Run(**run_views.overview(name, folder)) for name, folder in catalogue.run_folders().items()
    ]


def _add_page(app: FastAPI) -> None:
    @app.get("/api/v1/examples")
    async def examples() -> schemas.Examples:
        """Return crystals to try."""
        listed = json.loads((HERE / "examples" / "examples.json").read_text(encoding="utf-8"))
        return schemas.Examples(
            examples=[
                schemas.Example(
                    name=name, file=file, text=(HERE / "examples" / file).read_text(encoding="utf-8")
                )
                for file, name in listed.items()
            ]
        )

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(HERE / "static" / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
