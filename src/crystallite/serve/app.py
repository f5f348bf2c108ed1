"""The routes: what a server answers, version 1. docs/serve.md describes them for people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from .. import __version__
from ..errors import CrystalliteError
from ..models.card import card_text
from ..models.ready import ALL, ready_models
from ..models.tables import Extras, check_extras
from ..sources.reading.texts import StructureText
from . import run_views, schemas
from .answers import CsvAnswer, as_json
from .evaluation import Embedding, Prediction
from .guard import Guard
from .measurements import Measured
from .service import BusyError, Service, SlowError, problems
from .settings import ServeSettings
from .streams import LinesResponse, streamed_predictions

HERE = Path(__file__).parent
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Refusal, "description": why}
    for status, why in {
        400: "Unknown host, or a body that is no JSON.",
        401: "Without the server's token.",
        404: "No such model or run.",
        413: "Too large.",
        422: "Nothing that can be used.",
        429: "Too many requests at once; Retry-After says when to come again.",
        503: "Not answered in time, or the server is stopping.",
    }.items()
}


def create_app(settings: ServeSettings | None = None) -> Guard:
    """Return the ASGI application; without settings those that the environment has."""
    settings = settings or ServeSettings.from_environment()
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
    return Guard(app, settings)


def _add_measurements(app: FastAPI, service: Service) -> None:
    app.add_middleware(Measured, measurements=service.measurements)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(service.measurements.text(), media_type="text/plain; version=0.0.4")

    @app.get("/health")
    async def health() -> schemas.Health:
        """Say that the server is there."""
        return schemas.Health(status="ok", version=__version__, ready=service.is_ready)


def _add_refusals(app: FastAPI) -> None:
    async def invalid(request: Request, error: Any) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return JSONResponse({"detail": f"{place}: {first['msg']}", "errors": []}, 422)

    async def unknown(request: Request, error: Any) -> Response:
        return JSONResponse({"detail": str(error), "errors": []}, 404)

    async def busy(request: Request, error: Any) -> Response:
        why = "as many requests are being answered as this server takes at once; come again"
        return JSONResponse({"detail": why, "errors": []}, 429, {"Retry-After": "1"})

    async def slow(request: Request, error: Any) -> Response:
        return JSONResponse({"detail": str(error), "errors": []}, 503, {"Retry-After": "5"})

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(CrystalliteError, unknown)
    app.add_exception_handler(BusyError, busy)
    app.add_exception_handler(SlowError, slow)


def _add_models(app: FastAPI, service: Service) -> None:
    catalogue = service.catalogue

    @app.get("/api/v1/models", responses=REFUSALS)
    async def models() -> schemas.ModelList:
        """List the models."""
        described = [await service.in_reader(catalogue.described, name) for name in catalogue.names()]
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
        with service.counted():
            asked = Prediction(tuple(question.models), Extras(question.interval, question.neighbours))
            selected = await service.in_reader(service.catalogue.select, asked.models)
            csv = None
            if request.headers.get("accept", "").startswith("text/csv"):
                _check(lambda: check_extras([one.predictor for one in selected], asked.extras))
                csv = CsvAnswer(selected, asked.extras)
            predictions, errors, notices = [], [], []
            async for part in service.answers(_texts(question.structures, service), asked):
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
    async def embed(question: schemas.EmbedQuestion) -> Response:
        """Return the vectors that a model reads its predictions from."""
        with service.counted():
            if question.model == ALL:
                raise HTTPException(422, "vectors are those of one model: name it")
            await service.in_reader(service.catalogue.select, [question.model])
            embeddings, errors, notices = [], [], []
            texts = _texts(question.structures, service)
            async for part in service.answers(texts, Embedding(question.model)):
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

    @app.post("/api/v1/crystals", responses=REFUSALS)
    async def crystals(question: schemas.CrystalQuestion) -> schemas.Crystals:
        """Return the crystals of a text as the page draws them."""
        with service.counted():
            text = StructureText(question.name, question.text)
            return schemas.Crystals(**await service.drawings(text, question.model))


def _texts(structures: list[schemas.Structure], service: Service) -> list[StructureText]:
    most = service.settings.limits.structures
    if len(structures) > most:
        raise HTTPException(413, f"{len(structures):,} structures; this server takes {most:,} at once")
    return [StructureText(one.name, one.text) for one in structures]


def _nothing(errors: list[dict[str, str]]) -> Response:
    why = f"{errors[0]['source']}: {errors[0]['reason']}" if errors else "no crystals"
    more = f" (and {len(errors) - 1:,} more)" if len(errors) > 1 else ""
    return JSONResponse({"detail": f"none of the structures can be used; {why}{more}", "errors": errors}, 422)


def _check(check: Callable[[], None]) -> None:
    try:
        check()
    except CrystalliteError as error:
        raise HTTPException(422, str(error)) from error


def _add_runs(app: FastAPI, service: Service) -> None:
    @app.get("/api/v1/runs", responses=REFUSALS)
    async def runs() -> schemas.Runs:
        """List the run folders that the server was started with."""
        folders = service.catalogue.run_folders()
        found = [
            await service.in_reader(run_views.overview, name, folder) for name, folder in folders.items()
        ]
        return schemas.Runs(runs=[schemas.Run(**one) for one in found])

    @app.get("/api/v1/runs/{name:path}", responses=REFUSALS)
    async def run(name: str) -> schemas.RunView:
        """Return the epochs of a run so far, and its test at the end."""
        folder = service.catalogue.run_folders().get(name)
        if folder is None:
            raise HTTPException(404, f"no run {name[:200]}")
        return schemas.RunView(**await service.in_reader(run_views.view, name, folder))


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
