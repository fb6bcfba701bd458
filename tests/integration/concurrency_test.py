"""Many requests at once change nothing in any of them, and leave nothing behind."""

import concurrent.futures
import json
import socket

from spillway_process import wait_until

STREAMS = 64
FREE_SECONDS_MAX = 30  # one step of a full batch on a busy machine; it takes milliseconds


def ask(server, model, number, tokens):
    subjects = ("rivers", "bread", "the moon", "a lost key", "winter", "old maps", "trains", "salt")
    content = f"Story {number} about {subjects[number % 8]}: " + "and then " * (number * 5 % 97)
    return server.post("/v1/chat/completions", {
        "model": model, "messages": [{"role": "user", "content": content}], "stream": True,
        "temperature": 0, "max_tokens": tokens})


def text_of(reply):
    assert reply.status == 200, reply.text
    events = [line[len("data: "):] for line in reply.text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    return "".join(json.loads(event)["choices"][0]["delta"].get("content") or ""
                   for event in events[:-1])


def wait_until_idle(server):
    def idle():
        return (server.metric("spillway_replica_running") == 0 and
                server.metric("spillway_replica_waiting") == 0 and
                server.metric("spillway_replica_kv_blocks_free") ==
                server.metric("spillway_replica_kv_blocks"))
    wait_until(idle, FREE_SECONDS_MAX, lambda: "the worker is not idle:\n" + "\n".join(
        line for line in server.get("/metrics").text.splitlines() if "replica" in line))


def test_64_greedy_streams_equal_their_solo_runs(server, start_server, model):
    with concurrent.futures.ThreadPoolExecutor(STREAMS) as pool:
        together = list(pool.map(lambda number: text_of(ask(server, model, number, 32)),
                                 range(STREAMS)))
    assert len(set(together)) > STREAMS // 2
    # Alone at another server: this one's prefix cache holds what the streams computed together.
    solo = start_server()
    solo.wait_ready()
    for number in range(STREAMS):
        assert text_of(ask(solo, model, number, 32)) == together[number], number
    wait_until_idle(server)


def open_stream(server, model, tokens, **options):
    """A connection that has sent its request and read nothing yet."""
    connection = server.connection()
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Tell me a story."}],
                       "max_tokens": tokens, "ignore_eos": True, **options})
    connection.request("POST", "/v1/chat/completions", body,
                       {"Authorization": f"Bearer {server.token}",
                        "Content-Type": "application/json"})
    return connection


def test_client_that_goes_away_frees_its_memory(server, model):
    wait_until_idle(server)
    connection = open_stream(server, model, 4000, stream=True)
    reply = connection.getresponse()
    for _ in range(3):
        assert reply.readline().startswith((b"data: ", b"\n"))
    wait_until(lambda: server.metric("spillway_replica_running") == 1, FREE_SECONDS_MAX,
               "the stream doesn't run")
    assert (server.metric("spillway_replica_kv_blocks_free") <
            server.metric("spillway_replica_kv_blocks"))
    connection.sock.shutdown(socket.SHUT_RDWR) if connection.sock else reply.close()
    connection.close()
    wait_until_idle(server)


def test_client_that_goes_away_before_its_whole_answer(server, model):
    wait_until_idle(server)
    connection = open_stream(server, model, 4000, n=2)
    wait_until(lambda: server.metric("spillway_replica_running") == 2, FREE_SECONDS_MAX,
               "the request doesn't run")
    connection.close()
    wait_until_idle(server)


def test_all_of_many_clients_go_away_at_once(server, model):
    wait_until_idle(server)
    connections = [open_stream(server, model, 4000, stream=True) for _ in range(80)]
    wait_until(lambda: server.metric("spillway_replica_running") > 1, FREE_SECONDS_MAX,
               "nothing runs")
    for connection in connections:
        connection.close()
    wait_until_idle(server)
    assert text_of(ask(server, model, 1, 4))
