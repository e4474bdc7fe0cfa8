"""The server of tools/draw.py: sends the page, answers drawings and pictures, saves drawings, and undoes that.

It does one thing at a time, so that the later of two labels for one drawing stays.
"""

import asyncio
import base64
import html
import io
import json
import logging
import re
import secrets
import socket
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web
from numpy.typing import NDArray
from PIL import Image

from command import ROOT
from digits import dataset
from digits.pictures.files import NoPictureError, read_picture
from digits.pictures.ink import NoDigitError, eight_bits
from digits.pictures.mnist_format import find_digits
from handwriting.drawings import Drawings
from handwriting.recognizer import UNKNOWN, Recognizer

PAGE = Path(__file__).with_name("page.html")
DRAWINGS = ROOT / dataset.DRAWINGS  # which the pipeline reads
MAX_BYTES = 1_000_000
MAX_PICTURE = 30_000_000  # bytes; photographs of phones have 3 to 12 million
RECEIVE_SECONDS = 60
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def make_app(recognizer: Recognizer, drawings: Drawings) -> web.Application:
    """What answers the page's requests: `MAX_BYTES` at most, or, one at a time, pictures of at most `MAX_PICTURE`."""
    receiving = asyncio.Lock()

    async def send_page(_: web.Request) -> web.Response:
        return page(recognizer, drawings)

    async def answer(request: web.Request) -> web.Response:
        image = read_png(await request.read())
        try:
            pixels = recognizer.convert(image)
        except NoDigitError as error:
            return web.json_response({"problem": str(error)})
        return web.json_response(seen(recognizer, pixels))

    async def answer_picture(request: web.Request) -> web.Response:
        async with receiving, asyncio.timeout(RECEIVE_SECONDS):
            file = await request.clone(client_max_size=MAX_PICTURE).read()
        picture = read_picture(io.BytesIO(file))
        shown = {"picture": data_url(picture), "size": picture.size}
        return web.json_response(shown | found(recognizer, picture))

    async def save(request: web.Request) -> web.Response:
        png = await request.read()
        if (name := request.match_info["name"]) not in drawings.classes:
            raise web.HTTPNotFound(reason="the model has no such class; load this page again")
        read_png(png)
        return web.json_response({"saved": str(drawings.save(name, png)), "count": drawings.count()})

    async def undo(request: web.Request) -> web.Response:
        saved = (await request.read()).decode(errors="replace")
        if saved not in drawings.earlier:
            raise web.HTTPConflict(reason="there is no such save to undo")
        return web.json_response({"label": drawings.undo(saved), "count": drawings.count()})

    app = web.Application(middlewares=[refuse], client_max_size=MAX_BYTES)
    app.add_routes([web.get("/", send_page), web.post("/answer", answer), web.post("/picture", answer_picture)])
    app.add_routes([web.post("/drawings/{name:.+}", save), web.post("/undo", undo)])
    return app


@web.middleware
async def refuse(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse the requests of other pages, and name any problem in JSON."""
    try:
        check_sender(request)
        response = await handler(request)
    except NoPictureError as error:
        response = web.json_response({"problem": str(error)}, status=400)
    except web.HTTPException as refusal:
        response = web.json_response({"problem": refusal.reason}, status=refusal.status)
    except TimeoutError:
        response = web.json_response({"problem": "it took too long to arrive"}, status=408)
    except OSError as error:
        problem = f"{error.filename or 'the drawing'}: cannot be read or written, got {error.strerror}"
        response = web.json_response({"problem": problem}, status=500)
    except Exception:  # a bug: tell the page
        traceback.print_exc()
        response = web.json_response({"problem": "the server has a bug; see its terminal"}, status=500)
    response.headers.update({"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"})
    return response


def serve(app: web.Application, listener: socket.socket) -> None:
    """Answer requests until Ctrl-C."""
    logging.getLogger("aiohttp.server").disabled = True  # it prints a traceback for a malformed request
    web.run_app(app, sock=listener, print=None, access_log=None, shutdown_timeout=1)


def check_sender(request: web.Request) -> None:
    """Raise an HTTPForbidden if the request comes from another page."""
    host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
    # By DNS rebinding, another site could point its own name at this machine and be allowed to read the answers.
    # Addresses are no names, and ports do not matter: one may be forwarded, by `ssh -L` for example.
    if not re.fullmatch(r"(localhost|[0-9.]+)(:[0-9]+)?", host):
        raise web.HTTPForbidden(reason="Host must be localhost or an IP address")
    if request.method == "POST" and origin not in (None, f"http://{host}"):
        raise web.HTTPForbidden(reason="Origin must be this page's")


def page(recognizer: Recognizer, drawings: Drawings) -> web.Response:
    nonce = secrets.token_urlsafe()
    lines = html.escape(recognizer.introduction()).splitlines()
    values = {
        "{nonce}": nonce,
        "{introduction}": re.sub("`(.+?)`", r"<code>\1</code>", "\n".join(f"<span>{line}</span>" for line in lines)),
        "{count}": str(drawings.count()),
        "{teach}": "" if drawings.folder == DRAWINGS else "hidden",
        # In a script, "</script>" would end it.
        "{classes}": json.dumps(drawings.classes).replace("<", r"\u003c"),
    }
    text = re.sub("|".join(values), lambda found: values[found[0]], PAGE.read_text(encoding="utf-8"))
    headers = {"Content-Security-Policy": POLICY.format(nonce=nonce)}
    return web.Response(text=text, content_type="text/html", headers=headers)


def read_png(png: bytes) -> Image.Image:
    """The picture in a PNG file; raises a `NoPictureError` if there is none, or one far larger than the page's."""
    return read_picture(io.BytesIO(png), formats=["PNG"], max_pixels=1_000_000)


def found(recognizer: Recognizer, picture: Image.Image) -> dict[str, Any]:
    """`digits`, each with its `box` and what `seen` gives, or a whole picture without a box; or the `problem`."""
    try:
        if recognizer.pictures == "whole":
            return {"digits": [seen(recognizer, recognizer.convert(picture))]}
        return {"digits": [{"box": digit.box, **seen(recognizer, digit.image)} for digit in find_digits(picture)]}
    except NoDigitError as error:
        return {"problem": str(error)}


def seen(recognizer: Recognizer, image: NDArray[np.uint8]) -> dict[str, Any]:
    """The `probabilities` of an image, uint8 (28, 28), by class, or the `problem`; and `image`, its pixels."""
    probabilities = recognizer.by_class(image)
    said = {"problem": UNKNOWN} if probabilities is None else {"probabilities": probabilities}
    return {**said, "image": image.ravel().tolist()}


def data_url(picture: Image.Image) -> str:
    """A picture of any mode as a URL that holds it: a browser may not read its file, or turn it otherwise."""
    file = io.BytesIO()
    eight_bits(picture).convert("RGBA").save(file, "WEBP", method=0)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
