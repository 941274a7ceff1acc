"""`bovw serve`: a web page and an HTTP API for people and programs, on the machine where the
pictures are. docs/serve.md is its manual, SECURITY.md says what it promises.

May import everything but the command. Read first: `app.create_app`, `tasks` (what its worker
processes do), `security`.
"""
