#!/usr/bin/env bash
# The sample on a Spark cluster of one master and two workers on loopback, against the run on one machine; then with what goes
# wrong on clusters. As docs/spark.md tells:
#   tests/spark/run.sh target/release/sesame VENV/bin/python [FOLDER]
# VENV has pyspark and pyarrow; Java is on the PATH. FOLDER is kept; without one all goes away. SESAME_SPARK_CASES="killed again"
# has some cases alone.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
sesame=$(realpath "$1") python=$(realpath -s "$2")
if [ $# -gt 2 ]; then mkdir -p "$3"; work=$(realpath "$3"); else work=$(mktemp -d); fi
[ -z "$(ls -A "$work")" ] || { echo "$work is not empty: what lies there would be used again" >&2; exit 2; }
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/python PYSPARK_PYTHON=$python SPARK_LOCAL_IP=127.0.0.1 SPARK_NO_DAEMONIZE=1
SPARK_HOME=$("$python" -c 'import pathlib, pyspark; print(pathlib.Path(pyspark.__file__).parent)')
export SPARK_HOME SPARK_WORKER_DIR=$work/spark SPARK_LOCAL_DIRS=$work/local
master=spark://127.0.0.1:${SESAME_SPARK_PORT:-17077}
pids=()

begin() { "$@" & pids+=($!); }
tidy() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
}
trap 'tidy; '"$([ $# -gt 2 ] || echo 'rm -rf "$work"')" EXIT

cluster() {
  mkdir -p "$work/local" "$work/spark"
  begin nice "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.master.Master --host 127.0.0.1 --port "${master##*:}" --webui-port 0 \
    >"$work/master.log" 2>&1
  # Each on a host of its own: Spark makes no copy of a slow task where it runs already.
  for n in 1 2; do
    SPARK_LOCAL_IP=127.0.0.$n begin nice "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker --host "127.0.0.$n" \
      --cores 1 --memory 1g --webui-port 0 "$master" >"$work/worker$n.log" 2>&1
  done
  for _ in $(seq 240); do
    [ "$(grep -c 'Registering worker' "$work/master.log")" -ge 2 ] && return
    sleep 0.5
  done
  echo "the cluster does not come up: see $work/master.log" >&2; exit 1
}

# A run of so many shards, by a program, with more of Spark's configuration: configured NAME SHARDS PROGRAM [LINE...]
configured() {
  local name=$1 shards=$2 program=$3; shift 3
  {
    echo "pipeline = \"$here/pipelines/nightly.toml\""
    echo "shards = $shards"
    # What one run of so many shards staged the next one uses.
    echo "staging = \"$work/staging-of-$shards\""
    echo "binary = \"$program\""
    echo 'memory = "64MB"'
    echo "plan = ['--set', 'output=\"$work/$name\"']"
    echo 'keep = true'
    echo '[spark]'
    echo "\"spark.master\" = \"$master\""
    echo '"spark.driver.host" = "127.0.0.1"'
    echo '"spark.driver.bindAddress" = "127.0.0.1"'
    echo '"spark.ui.enabled" = "false"'
    echo '"spark.executor.memory" = "700m"'
    echo '"spark.driver.memory" = "600m"'
    for line in "$@"; do echo "$line"; done
    echo '[tables]'
    for path in "$here"/data-samples/small/*; do
      table=$(basename "$path" .parquet); echo "$table = { parquet = \"$path\" }"
    done
  } >"$work/$name.toml"
}

drive() { "$python" -m sesame.spark "$work/$1.toml" >"$work/$1.log" 2>&1; }
driven() { drive "$1" || { tail -n 40 "$work/$1.log" >&2; echo "$1: the driver failed" >&2; exit 1; }; }
same() { "$python" "$here/tests/spark/compare.py" "$work/whole" "$work/$1" | sed "s/^/$1: /"; }
published() { [ -e "$work/$1/scores" ]; }

# A program that does something before the shard K is made, once or each time, and then is sesame: before NAME K 'COMMANDS'
before() {
  cat >"$work/$1-program" <<END
#!/usr/bin/env bash
# Called as: shard rate SPEC --shard K …
if [ "\$2" = rate ] && [ "\$5" = "$2" ]; then $3; fi
exec "$sesame" "\$@"
END
  chmod +x "$work/$1-program"; echo "$work/$1-program"
}

# Waits for a file, which a pattern may name.
await() { for _ in $(seq 6000); do compgen -G "$1" >/dev/null && return; sleep 0.1; done; echo "nobody made $1" >&2; exit 1; }

# The executor above a process: the JVM that a worker started.
executor_of() {
  local pid=$1
  while [ "$pid" -gt 1 ] && ! tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q CoarseGrainedExecutorBackend; do
    pid=$(awk '{print $4}' "/proc/$pid/stat")
  done
  echo "$pid"
}

units() {
  echo "the driver's own parts"
  "$python" "$here/tests/spark/units.py"
  echo "how tables are read"
  "$python" "$here/tests/spark/reading.py" >"$work/reading.log" 2>&1 || { tail -n 40 "$work/reading.log" >&2; exit 1; }
}

equal() {
  for shards in 3 8; do
    echo "$shards shards"
    configured "of-$shards" "$shards" "$sesame"
    driven "of-$shards"; same "of-$shards"
  done
  echo "the same again: what is staged and made is used, and there is nothing to do"
  driven of-3
  grep -q 'nothing to do' "$work/of-3.log"
  [ "$(ls -d "$work"/staging-of-3/sesame-*/subjects-* | wc -l)" = 1 ]
  [ "$(ls -d "$work"/staging-of-3/sesame-*/rated-*/*-* | grep -vc '\.log$')" = 3 ]
  "$sesame" verify latest --output "$work/of-3" 2>&1 | grep 'by version, not looked at'
}

once() {
  echo "what was staged goes when the table is published, and nothing is staged or made for a run that is"
  configured once 2 "$sesame"
  sed -i '/^keep = /d' "$work/once.toml"
  driven once; same once
  [ -z "$(ls "$work/staging-of-2")" ] || { ls -a "$work/staging-of-2" >&2; exit 1; }
  configured once 2 "$(before once 0 'exit 7')"
  sed -i '/^keep = /d' "$work/once.toml"
  driven once; grep -q 'nothing to do' "$work/once.log"
}

killed() {
  echo "an executor is killed while a shard is made"
  local once="$work/killed-once" told="$work/killed-pid"
  configured killed 3 "$(before killed 0 "if mkdir '$once' 2>/dev/null; then echo \$\$ >'$told.new'; mv '$told.new' '$told'; sleep 60; fi")"
  drive killed & local driver=$!
  await "$told"
  local child; child=$(cat "$told")
  kill -9 "$(executor_of "$child")"
  wait "$driver" || { tail -n 40 "$work/killed.log" >&2; exit 1; }
  [ ! -e "/proc/$child" ] || { echo "the child outlives its executor" >&2; exit 1; }
  same killed
}

failing() {
  echo "a child that fails"
  configured failing 3 "$(before failing 1 "echo 'no space left on this disk'; exit 7")" '"spark.task.maxFailures" = "2"'
  if drive failing; then echo "the driver did not fail" >&2; exit 1; fi
  grep -q 'shard 1: exit status 7' "$work/failing.log"; grep -q 'no space left on this disk' "$work/failing.log"
  ! published failing
}

speculated() {
  echo "speculation: the copy of a slow task is the one that counts"
  configured speculated 3 "$(before speculated 0 "if mkdir '$work/speculated-once' 2>/dev/null; then sleep 300; fi")" \
    '"spark.speculation" = "true"' '"spark.speculation.quantile" = "0.5"' '"spark.speculation.interval" = "200ms"'
  local begun=$SECONDS
  driven speculated; same speculated
  [ $((SECONDS - begun)) -lt 300 ] || { echo "nobody made a copy" >&2; exit 1; }
}

# Kills the driver of a run that began in the background, and waits for its JVM to see it.
kill_driver() {
  kill -9 "$(pgrep -P "$1" -f sesame.spark)"
  wait "$1" 2>/dev/null || true
  sleep 2
}

again() {
  echo "the driver is killed while it stages and while shards are made, and started again"
  configured again 3 "$(before again 2 "if mkdir '$work/again-once' 2>/dev/null; then touch '$work/again-begun'; sleep 300; fi")"
  sed -i "s|^staging = .*|staging = \"$work/staging-again\"|" "$work/again.toml"
  drive again & local driver=$!
  await "$work/staging-again/sesame-*/disputes.json"
  kill_driver "$driver"
  local staged; staged=$(cd "$work"/staging-again/sesame-*/ && ls -d disputes-*)
  drive again & driver=$!
  await "$work/again-begun"
  kill_driver "$driver"
  ! published again
  [ "$staged" = "$(cd "$work"/staging-again/sesame-*/ && ls -d disputes-*)" ] || { echo "disputes were staged twice" >&2; exit 1; }
  local made; made=$(cd "$work"/staging-again/sesame-*/ && ls -d subjects-* rated-*/*-*/shard.json)
  driven again; same again
  for of in $made; do [ -e "$work"/staging-again/sesame-*/"$of" ] || { echo "$of is gone" >&2; exit 1; }; done
  [ "$(ls -d "$work"/staging-again/sesame-*/subjects-* | wc -l)" = 1 ] || { echo "subjects were staged twice" >&2; exit 1; }
}

echo "one machine"
"$sesame" run "$here/pipelines/nightly.toml" --set "output=\"$work/whole\"" --quiet
cluster
for case in ${SESAME_SPARK_CASES:-units equal once killed failing speculated again}; do "$case"; done
echo "all is equal"
