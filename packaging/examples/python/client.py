#!/usr/bin/python3
"""A client of hydra.v1, the gRPC API that every container of Hydra has.

It needs no engine, whether the container belongs to one or not. Debian 12's
python3-grpcio, protobuf-compiler and protobuf-compiler-grpc are what it needs;
the stubs are made from Hydra's .proto files when it starts.

Everything here goes on by itself where it was when a connection is lost: what
serves gRPC may be upgraded, or die, and the container does not.
"""

import argparse
import contextlib
import glob
import importlib
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time

import grpc
from google.protobuf import json_format

HERE = pathlib.Path(__file__).resolve()
# How long the instance may be away before a client gives up, in seconds.
PATIENCE = 20


def proto_directory():
    """Beside this file in a source tree, or where the package has them."""
    for place in [HERE.parents[3] / "proto", "/usr/share/hydra/proto"]:
        if pathlib.Path(place, "hydra/v1/instance.proto").exists():
            return str(place)
    sys.exit("Hydra's .proto files are not found: --proto DIRECTORY")


def load_stubs(protos):
    """Generates the modules; hydra.v1's messages and its stub in one place."""
    files = [str(path) for path in pathlib.Path(protos).rglob("*.proto")]
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(
            ["protoc", f"-I{protos}", f"--python_out={out}",
             f"--grpc_out={out}",
             "--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin", *files],
            check=True)
        sys.path.insert(0, out)
        v1 = argparse.Namespace()
        for name in ["container", "events", "instance", "log"]:
            module = importlib.import_module(f"hydra.v1.{name}_pb2")
            vars(v1).update(vars(module))
        stubs = importlib.import_module("hydra.v1.instance_pb2_grpc")
        v1.InstanceStub = stubs.InstanceStub
        # Payloads of events; known by their names once they are imported.
        importlib.import_module("containerd.events.task_pb2")
        sys.path.remove(out)
    return v1


def find_socket(container):
    """Of an id, NAMESPACE/ID or ENGINE/NAMESPACE/ID; or the path itself."""
    if container.endswith(".sock"):
        return container
    run = os.environ.get("HYDRA_RUN_DIR", "/run/hydra")
    parts = ["*"] * (2 - container.count("/")) + [container]
    found = glob.glob("/".join([run] + parts) + ".sock")
    if len(found) == 1:
        return found[0]
    sys.exit(f"{container}: " + ("there is no such container" if not found
                                 else "which of these? " + " ".join(found)))


class Container:
    """The instance of one container. One thread at a time, if not said."""

    def __init__(self, v1, socket):
        self.v1 = v1
        # Many short retries: the socket is a local one.
        self.channel = grpc.insecure_channel(
            "unix:" + socket,
            options=[("grpc.initial_reconnect_backoff_ms", 50),
                     ("grpc.min_reconnect_backoff_ms", 50),
                     ("grpc.max_reconnect_backoff_ms", 500)])
        self.stub = v1.InstanceStub(self.channel)

    def inspect(self):
        return self.stub.Inspect(self.v1.InspectRequest(), timeout=PATIENCE)

    @staticmethod
    def _resumed(call):
        """The messages of `call()`, which is made again when it breaks off."""
        give_up = None
        while True:
            try:
                for message in call():
                    give_up = None
                    yield message
                return
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                give_up = give_up or time.monotonic() + PATIENCE
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)

    def logs(self, follow=False, tail_lines=None):
        """Entries of the log: a `missed` one stands for what is not kept."""
        start = self.v1.LogStart()
        if tail_lines is not None:
            start.tail_lines = tail_lines
        last = -1

        def call():
            return self.stub.Logs(
                self.v1.LogsRequest(start=start, follow=follow))

        for entry in self._resumed(call):
            if not entry.missed:
                if entry.position <= last:
                    continue  # The one that was asked to go on at.
                last = start.position = entry.position
            yield entry

    def events(self, follow=False, begin=0):
        """Events from sequence number `begin` on; 0: the oldest there is."""
        request = self.v1.EventsRequest(follow=follow)
        setattr(request, "from", begin)  # A word of Python's.
        for event in self._resumed(lambda: self.stub.Events(request)):
            setattr(request, "from", event.sequence + 1)
            yield event

    def attach(self, requests, replay_bytes=0):
        """Messages of Attach; `requests` yields what is to be sent.

        One that breaks off is not begun again: nobody could say which of the
        input has been written.
        """
        def messages():
            yield self.v1.AttachRequest(
                start=self.v1.AttachStart(replay_bytes=replay_bytes))
            yield from requests
        return self.stub.Attach(messages())


def write_out(v1, entry):
    """As the container wrote it; what is missing is told on stderr."""
    if entry.lost:
        print(f"[{entry.lost} bytes are missing here]", file=sys.stderr,
              flush=True)
    to = sys.stderr if entry.stream == v1.STDERR else sys.stdout
    to.buffer.write(entry.data)
    to.buffer.flush()


def as_json(message, **options):
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, **options)


def event_as_json(event):
    # Hydra's type URLs are bare names, as containerd's; JSON wants a slash.
    event.payload.type_url = "/" + event.payload.type_url
    return as_json(event)


def input_of(v1, stream):
    """What comes on `stream`, and its end. Read on a thread of its own, as
    gRPC would wait for a request that is not there yet even at the end."""
    pieces = queue.Queue(maxsize=4)

    def read():
        with contextlib.suppress(OSError):
            while piece := os.read(stream.fileno(), 64 << 10):
                pieces.put(v1.AttachRequest(input=piece))
        pieces.put(v1.AttachRequest(close_input=True))
        pieces.put(None)

    threading.Thread(target=read, daemon=True).start()
    return iter(pieces.get, None)


def attach(v1, container, arguments):
    """stdin to the container, its output to stdout and stderr; its status."""
    answers = container.attach(input_of(v1, sys.stdin), arguments.replay)
    for answer in answers:
        if answer.HasField("output"):
            write_out(v1, answer.output)
        elif answer.HasField("refused"):
            print(f"refused: {answer.refused.message}", file=sys.stderr)
        elif answer.HasField("ended"):
            return answer.ended.exit_status
    return 0


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--proto", help="the directory of Hydra's .proto files")
    parser.add_argument("container", help="ID, NAMESPACE/ID, or a socket")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("inspect", help="all that is known of it, as JSON")
    logs = verbs.add_parser("logs", help="what it has written")
    logs.add_argument("-f", "--follow", action="store_true")
    logs.add_argument("-n", "--tail", type=int, help="the last so many lines")
    events = verbs.add_parser("events", help="what has happened, as NDJSON")
    events.add_argument("-f", "--follow", action="store_true")
    events.add_argument("--from", dest="begin", type=int, default=0,
                        help="sequence number of the first one")
    attached = verbs.add_parser("attach", help="be its input and output")
    attached.add_argument("--replay", type=int, default=0,
                          help="bytes of its output so far to begin with")
    return parser.parse_args(argv)


def main(argv):
    arguments = parse(argv)
    v1 = load_stubs(arguments.proto or proto_directory())
    container = Container(v1, find_socket(arguments.container))
    if arguments.verb == "inspect":
        print(json.dumps(as_json(container.inspect()), indent=2))
    elif arguments.verb == "logs":
        for entry in container.logs(arguments.follow, arguments.tail):
            write_out(v1, entry)
    elif arguments.verb == "events":
        for event in container.events(arguments.follow, arguments.begin):
            print(json.dumps(event_as_json(event)), flush=True)
    else:
        return attach(v1, container, arguments)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except grpc.RpcError as failure:
        sys.exit(f"{failure.code().name}: {failure.details()}")
    except KeyboardInterrupt:
        sys.exit(130)
