"""Files that attack whoever reads them, and a server on this machine that nobody should ask."""

import http.server
import io
import stat
import threading
import zipfile


def docx(document, *others):
    """A document of Word with this text in XML, and with other members."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types xmlns='http://schemas.openxmlformats.org/package/2006/content-types'/>")
        archive.writestr("word/document.xml", document)
        for name, content in others:
            archive.writestr(name, content)
    return packed.getvalue()


def word(text, head=""):
    schema = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    return f'<?xml version="1.0"?>{head}<w:document xmlns:w="{schema}"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>'


class Canary:
    """A server on this machine that nobody should ask."""

    def __init__(self):
        canary = self
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                canary.asked.append(self.path)
                self.send_error(404)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def hostile_files(canary, secret):
    link = zipfile.ZipInfo("word/document.xml")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(link, secret)
    lol = "".join(f'<!ENTITY l{number} "{f"&l{number - 1};" * 10}">' for number in range(1, 10))
    return {
        "bomb.docx": docx(b"<w:document>" + b" " * (600 << 20)),
        "many.docx": docx(word("a"), *((f"word/{number}", b"") for number in range(12_000))),
        "laughs.docx": docx(word("&l9;", f'<!DOCTYPE d [<!ENTITY l0 "lol">{lol}]>')),
        "outside.docx": docx(word("&x;", f'<!DOCTYPE d [<!ENTITY x SYSTEM "file://{secret}">]>')),
        "fetched.docx": docx(word("&x;", f'<!DOCTYPE d [<!ENTITY x SYSTEM "{canary.url}/dtd">]>')),
        "linked.docx": linked.getvalue(),
        "fetched.html": f'<html><link rel=stylesheet href="{canary.url}/css"><img src="{canary.url}/img"><iframe src="{canary.url}/i"></iframe></html>'.encode(),
        "fetched.svg": f'<svg xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="{canary.url}/svg"/></svg>'.encode(),
        "deep.json": b"[" * 1_000_000,
        "deep.html": b"<div>" * 200_000 + b"x",
        "broken.pdf": b"%PDF-1.7\n1 0 obj<</Length 99999999999>>stream\n" + b"\xff" * 1000,
        "loop.pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 1 0 R/Kids[1 0 R]/Count 1>>endobj\ntrailer<</Root 1 0 R>>",
        "bomb.txt.gz": b"\x1f\x8b\x08" + bytes(1000),
    }
