# Runs the code that comes on the standard input, which is a connection to the server, and keeps
# what it defines for the next one. A message is a length of four bytes and so many bytes: the
# number of the call in 36 characters, and the code. The answer is the number of the call.
import os
import sys


def drive():
    import _ast
    import types

    connection = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    out, err = sys.stdout, sys.stderr
    for stream in (out, err):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")

    def receive(count):
        parts = []
        while count:
            part = os.read(connection, min(count, 1 << 16))
            if not part:
                os._exit(0)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def answer(text):
        os.write(connection, len(text).to_bytes(4, "little") + text)

    def place(path):
        """A path of a library without the folder that it is in."""
        folders = [folder for folder in sys.path if folder and path.startswith(folder + os.sep)]
        if folders:
            path = path[len(max(folders, key=len)) + 1 :]
        return path.rsplit(".", 1)[0].replace(os.sep, ".").removesuffix(".__init__")

    def reduced(line):
        """A line of a traceback without paths of this machine."""
        indent = line[: len(line) - len(line.lstrip())]
        rest = line[len(indent) :]
        if not rest.startswith('File "') or '", line ' not in rest:
            return line
        path, rest = rest[6:].split('", ', 1)
        if path == "<code>":
            return indent + rest
        return "{}{} ({})".format(indent, rest, path if path[:1] == "<" else place(path))

    def complain(error):
        import traceback

        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != "<code>":
            trace = trace.tb_next
        text = "".join(traceback.format_exception(type(error), error, trace))
        for line in text.splitlines():
            print(reduced(line), file=err)

    figures = 0

    def show(*_arguments, **_keywords):
        """Saves the figures that are open as images, in place of windows."""
        nonlocal figures
        pyplot = sys.modules.get("matplotlib.pyplot")
        for number in pyplot.get_fignums() if pyplot else ():
            figures += 1
            pyplot.figure(number).savefig("figure-{}.png".format(figures))
        if pyplot:
            pyplot.close("all")

    class Figures:
        """Imports the backend that matplotlib is told to use, once somebody imports matplotlib."""

        @staticmethod
        def find_spec(name, _path=None, _target=None):
            return type(sys.__spec__)(name, Figures) if name == "chaski_figures" else None

        @staticmethod
        def create_module(_spec):
            return None

        @staticmethod
        def exec_module(module):
            from matplotlib.backend_bases import FigureManagerBase
            from matplotlib.backends.backend_agg import FigureCanvasAgg

            module.FigureCanvas, module.FigureManager = FigureCanvasAgg, FigureManagerBase
            module.show = show

    sys.meta_path.append(Figures)

    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    names = main.__dict__

    def run(code):
        tree = compile(code, "<code>", "exec", 0x400, True)  # only to a tree
        last = None
        if tree.body and isinstance(tree.body[-1], _ast.Expr):
            last = tree.body.pop().value
        exec(compile(tree, "<code>", "exec", 0, True), names)
        if last is not None:
            value = eval(compile(_ast.Expression(last), "<code>", "eval", 0, True), names)
            if value is not None:
                print(repr(value))

    answer(b"ready")
    while True:
        length = int.from_bytes(receive(4), "little")
        number, code = receive(36), receive(length - 36)
        sys.stdout, sys.stderr = out, err
        try:
            try:
                run(code.decode())
                show()
            except SystemExit as leave:
                if isinstance(leave.code, str):
                    print(leave.code, file=err)
        except BaseException as error:
            try:
                complain(error)
            except BaseException:
                print(type(error).__name__, file=err)
        for stream in (sys.stdout, sys.stderr, out, err):
            try:
                stream.flush()
            except BaseException:
                pass
        code = None
        answer(number)


drive()
