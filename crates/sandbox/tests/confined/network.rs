//! There is no way to the network, and none to the sockets of this machine.

use super::{only_outside, printed, refused};
use std::{
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixListener},
    },
};

#[test]
fn connections_are_refused() {
    let canary = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = canary.local_addr().unwrap().port();
    refused(
        &format!(
            "import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)\nprint('reached')"
        ),
        "PermissionError",
    );
    refused(
        "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\nprint('reached')",
        "PermissionError",
    );
}

#[test]
fn datagrams_are_refused() {
    let canary = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = canary.local_addr().unwrap().port();
    refused(
        &format!(
            "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
             s.sendto(b'x', ('127.0.0.1', {port}))\nprint('reached')"
        ),
        "PermissionError",
    );
}

#[test]
fn sockets_of_the_machine_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _canary = UnixListener::bind(&path).unwrap();
    refused(
        &format!(
            "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect({path:?})\nprint('reached')"
        ),
        "PermissionError",
    );
    let name = format!("chaski-canary-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _canary = UnixListener::bind_addr(&address).unwrap();
    refused(
        &format!(
            "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0{name}')\n\
             print('reached')"
        ),
        "PermissionError",
    );
}

#[test]
fn pairs_of_sockets_lead_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("datagrams");
    let _canary = UnixDatagram::bind(&path).unwrap();
    only_outside(&format!(
        "import socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
         a.sendto(b'x', {path:?})\nprint('reached')"
    ));
    only_outside(&format!(
        "import socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
         a.sendmsg([b'x'], [], 0, {path:?})\nprint('reached')"
    ));
    only_outside(
        "import array, socket\na, b = socket.socketpair()\n\
         a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0]))])\n\
         print('reached')",
    );
    let own = "import socket\na, b = socket.socketpair()\na.send(b'hi')\nprint(b.recv(9).decode())";
    assert_eq!(printed(own), "hi\n");
}

#[test]
fn no_interface_of_the_network_is_seen() {
    refused("import socket\nprint(socket.if_nameindex() and 'reached')", "PermissionError");
}
