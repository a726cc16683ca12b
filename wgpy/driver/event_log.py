"""What the log says of the events of a device."""

from wgpy.contract.events import DataSent, EndpointChanged, RoutingLoop
from wgpy.device import DeviceEvent, HandshakeSent
from wgpy.engine.actions import HandshakeCompleted, PeerUnreachable


def in_words(event: DeviceEvent) -> str:
    match event:
        case DataSent():
            return "something was sent that is not answered yet"
        case HandshakeSent(endpoint=endpoint):
            return f"a handshake message goes to {endpoint}"
        case HandshakeCompleted(initiator=initiator):
            return f"new session, we {'began' if initiator else 'answered'} it"
        case PeerUnreachable():
            return "no answer to our handshakes, giving up"
        case EndpointChanged(endpoint=endpoint):
            return f"its endpoint is {endpoint}"
        case RoutingLoop(endpoint=endpoint):
            return f"what is sent to {endpoint} comes back"
