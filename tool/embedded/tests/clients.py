"""What Python clients of Channel Access and PV Access get from an IOC: clients.py pyepics|caproto|aioca|p4p.

The IOC has the records of clients.rs. Each client says what it got in the same words; an assertion ends it where that is wrong.
"""

import asyncio
import sys
import threading

MANY = 1000
NAMES = ["N%d" % number for number in range(MANY)]
VALUES = [float(number) for number in range(MANY)]
STATES = ("off", "on", "fault")


def same(what, got, want):
    """One fact."""
    assert got == want, "%s: got %r, not %r" % (what, got, want)
    print(what)


def with_pyepics():
    """pyepics, on C's libca."""
    import epics

    pv = epics.PV("A", form="ctrl", auto_monitor=True)
    assert pv.wait_for_connection(20)
    same("get", pv.get(), 1.5)
    same("ctrl", [pv.units, pv.precision, pv.lower_disp_limit, pv.upper_disp_limit, pv.upper_alarm_limit], ["mm", 3, -10.0, 10.0, 9.0])
    stale = 0
    for value in range(100):
        pv.put(float(value), wait=True, timeout=20)
        stale += pv.value != float(value)
    # A C IOC has 0 to 1 of 200.
    same("put, then what the monitor told", stale <= 2, True)
    seen, told = [], threading.Event()

    def note(value=None, **_):
        seen.append(value)
        if value == 7.0:
            told.set()

    pv.add_callback(note)
    pv.put(6.0, wait=True, timeout=20)
    pv.put(7.0, wait=True, timeout=20)
    assert told.wait(20)
    same("monitor", seen[-2:], [6.0, 7.0])
    same("enum", [epics.caget("E"), epics.caget("E", as_string=True), epics.PV("E").enum_strs], [1, "on", STATES])
    epics.caput("E", "fault", wait=True)
    same("put of an enum", epics.caget("E"), 2)
    epics.caput("W", [1.0, 2.0, 3.5], wait=True)
    same("array", list(epics.caget("W")), [1.0, 2.0, 3.5])
    text = "thirty-nine characters are the most so!"
    epics.caput("S", text, wait=True)
    same("string", epics.caget("S"), text)
    text = "x" * 300
    epics.caput("C", text, wait=True)
    same("characters", epics.caget("C", as_string=True), text)
    same("many", epics.caget_many(NAMES, timeout=60, connection_timeout=60), VALUES)
    epics.ca.finalize_libca()


def with_caproto():
    """caproto's threading client, which is Python alone."""
    from caproto.threading.client import Context

    context = Context(timeout=20)
    a, e, w, s = context.get_pvs("A", "E", "W", "S", timeout=20)
    for pv in (a, e, w, s):
        pv.wait_for_connection(timeout=20)
    a.write(1.5, wait=True)
    same("get", list(a.read().data), [1.5])
    ctrl = a.read(data_type="control").metadata
    same("ctrl", [ctrl.units, ctrl.precision, ctrl.lower_disp_limit, ctrl.upper_disp_limit, ctrl.upper_alarm_limit], [b"mm", 3, -10.0, 10.0, 9.0])
    seen, told = [], threading.Event()

    def note(_subscription, response):
        seen.append(response.data[0])
        if seen[-1] == 7.0:
            told.set()

    subscription = a.subscribe(data_type="time")
    subscription.add_callback(note)
    a.write(6.0, wait=True)
    a.write(7.0, wait=True)
    assert told.wait(20)
    same("monitor", seen[-2:], [6.0, 7.0])
    same("enum", [text.decode() for text in e.read(data_type="control").metadata.enum_strings], list(STATES))
    e.write(2, wait=True)
    same("put of an enum", list(e.read().data), [2])
    w.write([1.0, 2.0, 3.5], wait=True)
    same("array", list(w.read().data), [1.0, 2.0, 3.5])
    s.write("as text", wait=True)
    same("string", [bytes(text).decode() for text in s.read().data], ["as text"])
    many = context.get_pvs(*NAMES, timeout=60)
    for pv in many:
        pv.wait_for_connection(timeout=60)
    same("many", [pv.read(timeout=20).data[0] for pv in many], VALUES)
    context.disconnect()


async def with_aioca():
    """aioca, on C's libca, for asyncio."""
    from aioca import FORMAT_CTRL, caget, camonitor, caput

    await caput("A", 1.5, wait=True, timeout=20)
    same("get", float(await caget("A", timeout=20)), 1.5)
    ctrl = await caget("A", format=FORMAT_CTRL, timeout=20)
    same("ctrl", [ctrl.units, ctrl.precision, ctrl.lower_disp_limit, ctrl.upper_disp_limit, ctrl.upper_alarm_limit], ["mm", 3, -10.0, 10.0, 9.0])
    seen, told = [], asyncio.Event()

    def note(value):
        seen.append(float(value))
        if seen[-1] == 7.0:
            told.set()

    monitor = camonitor("A", note, all_updates=True)
    await caput("A", 6.0, wait=True, timeout=20)
    await caput("A", 7.0, wait=True, timeout=20)
    await asyncio.wait_for(told.wait(), 20)
    monitor.close()
    same("monitor", seen[-2:], [6.0, 7.0])
    same("enum", list((await caget("E", format=FORMAT_CTRL, timeout=20)).enums), list(STATES))
    await caput("E", "fault", datatype=str, wait=True, timeout=20)
    same("put of an enum", int(await caget("E", timeout=20)), 2)
    await caput("W", [1.0, 2.0, 3.5], wait=True, timeout=20)
    same("array", list(await caget("W", timeout=20)), [1.0, 2.0, 3.5])
    await caput("S", "as text", wait=True, timeout=20)
    same("string", str(await caget("S", timeout=20)), "as text")
    same("many", [float(value) for value in await caget(NAMES, timeout=60)], VALUES)


def with_p4p():
    """p4p, on PVXS, by PV Access."""
    from p4p.client.thread import Context

    # As they come, without the types of Python that p4p makes of them.
    context = Context("pva", nt=False)
    get = lambda name: context.get(name, timeout=20)
    put = lambda name, value: context.put(name, {"value": value}, timeout=20, wait=True)
    put("A", 1.5)
    a = get("A")
    same("get", a.value, 1.5)
    display, alarm = a.display, a.valueAlarm
    same("ctrl", [display.units, display.precision, display.limitLow, display.limitHigh, alarm.highAlarmLimit], ["mm", 3, -10.0, 10.0, 9.0])
    seen, told = [], threading.Event()

    def note(value):
        # A monitor sends what has changed.
        if isinstance(value, Exception) or not value.changed("value"):
            return
        seen.append(value.value)
        if seen[-1] == 7.0:
            told.set()

    subscription = context.monitor("A", note)
    put("A", 6.0)
    put("A", 7.0)
    assert told.wait(20)
    same("monitor", seen[-1], 7.0)
    same("severity", [get("A").alarm.severity, put("A", 9.5), get("A").alarm.severity], [0, None, 2])
    same("enum", [get("E").value.index, tuple(get("E").value.choices)], [1, STATES])
    put("E", {"index": 2})
    same("put of an enum", get("E").value.index, 2)
    put("W", [1.0, 2.0, 3.5])
    same("array", list(get("W").value), [1.0, 2.0, 3.5])
    put("S", "as text")
    same("string", get("S").value, "as text")
    same("many", [own.value for own in context.get(NAMES, timeout=60)], VALUES)
    same("field", get("A.EGU").value, "mm")
    [missing] = context.get(["NOSUCH"], timeout=1, throw=False)
    same("no such PV", type(missing), TimeoutError)
    subscription.close()
    context.close()


if __name__ == "__main__":
    if sys.argv[1] == "aioca":
        asyncio.run(with_aioca())
    else:
        {"pyepics": with_pyepics, "caproto": with_caproto, "p4p": with_p4p}[sys.argv[1]]()
