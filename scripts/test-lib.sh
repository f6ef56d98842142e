# shellcheck shell=bash
# Runs tests so that nothing is left behind. Sourced, after lib.sh, by scripts/test and .ci/run.

# Every process that a test starts inherits this mark, also one that leaves its process group.
DROVER_TEST_RUN=$$-$(date +%s%N)
export DROVER_TEST_RUN
TEST_TMP=$(mktemp -d "${TMPDIR:-/tmp}/drover-test-XXXXXX")
chmod 711 "$TEST_TMP" # servers of tests run as other users below it
export TMPDIR=$TEST_TMP PYTHONDONTWRITEBYTECODE=1

# Process ids that carry the mark, this shell and its subshells left out.
test_leftovers() {
    local environ pid
    for environ in /proc/[0-9]*/environ; do
        pid=${environ#/proc/}
        pid=${pid%/environ}
        if [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] &&
            grep -qsz "^DROVER_TEST_RUN=$DROVER_TEST_RUN\$" "$environ"; then
            echo "$pid"
        fi
    done 2>/dev/null
}

# Ends what tests left running, by process id, and removes their files.
test_cleanup() {
    local pid pids
    trap - EXIT
    pids=$(test_leftovers)
    for pid in $pids; do
        warn "ending a process that a test left: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" || true)"
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$TEST_TMP"
}
trap test_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# test_meson FOLDER [MESON_TEST_ARGUMENT...]: unit, simulation, store and corpus tests of a build.
test_meson() {
    local dir=$DROVER_ROOT/$1
    shift
    meson test -C "$dir" --no-rebuild --num-processes "$JOBS" --print-errorlogs "$@"
}

# Most of these tests wait most of the time: more processes than cores. A file's tests stay together.
TEST_PROCESSES=$((JOBS + 1))

# Goes before the command of pytest, for programs that need it.
TEST_BEFORE=()

# test_pytest DIST REPORT [PYTEST_ARGUMENT...]: tests of the programs in DIST and of the Python
# client. REPORT is written as JUnit XML.
test_pytest() {
    local dist=$1 report=$2 folder folders=() status=0
    shift 2
    for folder in e2e python; do
        if compgen -G "$DROVER_ROOT/tests/$folder/test_*.py" >/dev/null; then
            folders+=("tests/$folder")
        fi
    done
    [ ${#folders[@]} -gt 0 ] || return 0
    (
        cd "$DROVER_ROOT"
        export DROVER_DIST=$dist PYTHONPATH=$DROVER_ROOT/python
        "${TEST_BEFORE[@]}" "$PYTHON" -m pytest -q -p no:cacheprovider --basetemp="$TEST_TMP/pytest" \
            -n "$TEST_PROCESSES" --dist loadfile \
            --junitxml="$report" "${folders[@]}" "$@"
    ) || status=$?
    # 5: no test was selected, which -k may do.
    [ "$status" -eq 5 ] || return "$status"
}
