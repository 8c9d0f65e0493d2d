"""Guests at a switch: they find each other, and send files both ways, with all offloads."""
import re

from tests.e2e.harness import BOOT_LIMIT_S, check, equal, test
from tests.machine.lab import Vm

MIB = 1 << 20
BYTES = 4 * MIB  # that the server gives
OFFLOADS = (0, 1, 7, 8, 11, 12, 15)  # bits: checksums, segmentation of both IPs, both ways, mergeable buffers
MAC = "02:00:00:00:00:0a"


@test(long=True)
def test_net(t):
    server = Vm(name="srv", nvram="", more=f"net=lan:{MAC}", args="quiet pf.mode=steps pf.ip=1 pf.steps=net-up,net-serve")
    client = Vm(nvram="", more="net=lan,other", args="quiet pf.mode=steps pf.ip=2 pf.steps=net-up,net-ask")
    with t.boot(t.setup(), server, client) as machine:
        machine.wait_end(2 * BOOT_LIMIT_S)
    log = machine.log
    check("PF-TEST: net-serve ok" in log and "PF-TEST: net-ask ok" in log, "both have ended well")
    check(f"PF-STATE: net mac={MAC} carrier=1" in log, "the server's address and its link")
    served = re.search(r"PF-STATE: net served=(\d+) sum=(\w+)", log)
    asked = re.search(r"PF-STATE: net asked=(\d+) sum=(\w+)", log)
    equal(int(asked[1]), BYTES, "bytes that the client got")
    equal(served[2], asked[2], "the sum of what the server got")
    size, features = re.search(r"PF-STATE: net frames \d+ bytes (\d+) features (\w+)", log).groups()
    equal([bit for bit in OFFLOADS if features[bit] != "1"], [], "offloads that Linux has not accepted")
    check(int(size) > BYTES, f"only {size} bytes came through the device")
    check("3 packets transmitted, 3 packets received, 0% packet loss" in log, "ping")
