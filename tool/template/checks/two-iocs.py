start_all()

for machine_ in (first, second):
    machine_.wait_for_unit("ioc.service")

with subtest("each machine finds both IOCs"):
    for machine_ in (first, second):
        machine_.wait_until_succeeds("caget A:VOLT-RB B:VOLT-RB", timeout=20)

with subtest("their devices are apart"):
    first.succeed("caput -c B:VOLT 5")
    second.wait_until_succeeds("caget -t B:VOLT-RB | grep -qxF 5", timeout=10)
    second.succeed("caget -t A:VOLT-RB | grep -qxF 0")
