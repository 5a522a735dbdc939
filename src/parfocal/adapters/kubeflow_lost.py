"""Whether a job ended because a node was lost: another one, from the checkpoint, may well end otherwise.

A node that goes takes its pod along, and the processes of all others with it, which then speak of a broken
connection. Seen from here that is one of three things: Kubernetes says that a pod was taken, the first words are those
of torch.distributed about a peer, or there are none at all. What a step says in words of its own is not asked again,
nor is a lack of memory or of time.
"""

from __future__ import annotations

import re
from typing import Any

from parfocal.adapters.kubeflow_jobs import conditions
from parfocal.core.errors import ParfocalError
from parfocal.steps import elsewhere

BACKOFF_SECONDS = 30.0
"""Pause before the first new job; doubles each time. A spot pool takes a minute or two to bring another node."""
_TAKEN = ("Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated")
"""`status.reason` of a pod, as the kubelet and the node controller write it."""
_DISRUPTED = "DisruptionTarget"
"""Condition of a pod that is preempted, drained, evicted, or whose node is gone (Kubernetes: Pod disruption)."""
_PEER = re.compile(
    r"\bDist(Backend|Network|Store)Error\b|\bNCCL\b|\bgloo\b|Connection (closed|reset|refused)|Broken pipe",
    re.IGNORECASE,
)
"""What torch.distributed says where a peer is gone."""
_SAME_AGAIN = ("OOMKilled", "DeadlineExceeded")


def taken(pod: dict[str, Any]) -> str:
    """Who took a pod and why; empty where nobody did."""
    status = pod["status"]
    if status.get("reason") in _TAKEN:
        return f"{status['reason']}: {status.get('message', '')}"
    for one in status.get("conditions") or ():
        if one.get("type") == _DISRUPTED and one.get("status") == "True":
            return f"{one.get('reason', _DISRUPTED)}: {one.get('message', '')}"
    return ""


def lost(job: dict[str, Any], error: ParfocalError | None, pods_taken: list[str], last: list[str]) -> str:
    """Why a failed job may end otherwise when it is tried again; empty where it would not.

    Args:
        job: with its conditions.
        error: what its step said first; None: nothing.
        pods_taken: a sentence a pod that was taken.
        last: why pods died, and their last lines.
    """
    if error is not None and error.exit_code in elsewhere.FINAL:
        return ""
    if pods_taken:
        return "; ".join(pods_taken)
    if error is not None:
        return f"a process lost its peer: {error.what}" if _PEER.search(error.what) else ""
    said = [one.get("reason", "") for one in conditions(job)] + last
    return "" if any(word in line for word in _SAME_AGAIN for line in said) else "its processes ended without a word"
