"""Reads answers to the end, whatever end that is."""

import http.client
import json

CHAT = "/v1/chat/completions"


def read_stream(server, body, on_event=lambda count: None):
    """(text, ended well): `on_event` hears the number of events so far."""
    text, count, done = "", 0, False
    for data in stream_events(server, body):
        if data == "[DONE]":
            done = True
        elif "choices" in data:
            text += data["choices"][0]["delta"].get("content") or ""
            count += 1
            on_event(count)
    return text, done


def stream_events(server, body):
    """The events of a stream, parsed, "[DONE]" among them; an aborted body just ends."""
    connection = server.connection()
    try:
        reply = _ask(connection, server, body)
        if reply.status != 200:
            yield json.loads(reply.read())
            return
        while line := reply.readline():
            if line.startswith(b"data: "):
                data = line[len(b"data: "):].strip()
                yield "[DONE]" if data == b"[DONE]" else json.loads(data)
    except (ConnectionError, http.client.HTTPException):
        pass
    finally:
        connection.close()


def raw_lines(server, body):
    """The lines of a stream as they come over the wire, with the marks of HTTP's chunks."""
    connection = server.connection()
    try:
        reply = _ask(connection, server, body)
        while line := reply.fp.readline():
            yield line
    except ConnectionError:
        pass
    finally:
        connection.close()


def _ask(connection, server, body):
    connection.request("POST", CHAT, json.dumps({**body, "stream": True}),
                       {"Authorization": f"Bearer {server.token}",
                        "Content-Type": "application/json"})
    return connection.getresponse()
