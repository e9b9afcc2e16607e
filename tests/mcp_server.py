"""An MCP server of the Python SDK, started by the tests: mcp_server.py TRANSPORT PORT."""

import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("knots")


@server.tool()
def tie(kind: str, times: int = 1) -> str:
    """Tie a knot."""
    return " ".join([kind] * times)


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("the rope broke")


if __name__ == "__main__":
    transport, port = sys.argv[1:]
    server.run(transport, host="127.0.0.1", port=int(port))
