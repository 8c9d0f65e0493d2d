#!/bin/sh
# Runs the unit test programs given, two at a time, shows what failing ones printed, and ends with
# "N passed, N failed" and the status. A program that dies, hangs or reports no test is one failure.
set -u

run_one='
        ulimit -t 600 # seconds of CPU time: it holds on a loaded machine
        timeout 6000 "$0" >"$0.log" 2>&1
        status=$?
        grep -q "^not ok " "$0.log" && exit 0
        [ $status = 0 ] && grep -q "^ok " "$0.log" && exit 0
        echo "not ok ${0##*/} ended with status $status" >>"$0.log"
'
for program; do
        rm -f "$program.log"
        echo "$program"
done | xargs -P2 -n1 sh -c "$run_one"

passed=0
failed=0
for program; do
        log=$program.log
        passed=$((passed + $(grep -c '^ok ' "$log")))
        bad=$(grep -c '^not ok ' "$log") || continue
        failed=$((failed + bad))
        echo "== $program"
        grep -v '^ok ' "$log"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
