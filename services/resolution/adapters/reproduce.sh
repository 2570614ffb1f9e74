# What follows is the same in every incident; what this one compares stands below it.
# Exit status: 1 the failure shows as recorded, 0 it does not show, 2 it could not be tried to its end,
# 3 something fails, but not as recorded.
set -u
same=0 gone=0 otherwise=0 unfinished=0 unseen=0

say() { printf '%s\n' "$*"; }
cannot() { printf 'Cannot be tried: %s\n' "$*" >&2; exit 2; }
shows() { same=$((same + 1)); say "  as recorded: $*"; }
lacks() { gone=$((gone + 1)); say "  does not show: $*"; }
differs() { otherwise=$((otherwise + 1)); say "  otherwise than recorded: $*"; }
cut_short() { unfinished=$((unfinished + 1)); say "  not waited for to its end: $*"; }
# Findings that only the verifier or a gate can see.
unseen() { unseen=$((unseen + 1)); say "  not checked here: $*"; }

start() {
  command -v git >/dev/null 2>&1 || cannot "git is not installed"
  unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_NAMESPACE
  export GIT_TERMINAL_PROMPT=0
  here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || cannot "its own directory cannot be read"
  work=${1:-$(mktemp -d)} && mkdir -p -- "$work" && work=$(CDPATH='' cd -- "$work" && pwd) ||
    cannot "there is no directory to work in"
  mkdir -p "$work/.home" "$work/.tmp" || cannot "$work cannot be written"
}

# Git on the scratch repository, with nothing of this machine's or the repository's configuration.
g() {
  GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_ATTR_NOSYSTEM=1 GIT_LITERAL_PATHSPECS=1 \
    GIT_NO_REPLACE_OBJECTS=1 git --git-dir="$store" --work-tree="$tree" \
    -c core.autocrlf=false -c core.eol=lf -c core.fileMode=true -c core.symlinks=true -c core.ignoreCase=false \
    -c core.hooksPath=/dev/null -c core.attributesFile=/dev/null -c core.fsmonitor=false -c safe.directory='*' \
    "$@"
}

# repository NAME COMMIT TREE FORMAT REF URL: writes the base into $tree, which has no .git, as the verifier does.
repository() {
  name=$1 base=$2 base_tree=$3
  store=$work/.git-$name tree=$work/$name patch=$here/repos/$name/change.patch
  say "repository $name at $base"
  [ ! -e "$tree" ] && [ ! -e "$store" ] || cannot "$tree is there already: give an empty directory"
  mkdir "$tree" && git init -q --bare --template= --object-format="$4" "$store" && mkdir -p "$store/info" &&
    printf '%s\n' "$attributes" >"$store/info/attributes" || cannot "$work cannot be written"
  cd "$tree" || cannot "$tree cannot be entered"
  obtain "$5" "$6" || cannot "the base $base of $name was found neither here nor where this came from, nor at $6"
  [ "$(g rev-parse 'FETCH_HEAD^{tree}')" = "$base_tree" ] || cannot "the base of $name is not the recorded one"
  g read-tree --reset -u FETCH_HEAD || cannot "the base of $name cannot be written"
}

# scratch NAME: no base is needed, and none is known.
scratch() {
  name=$1 store=$work/.git-$1 tree=$work/$1 patch=$here/repos/$1/change.patch
  mkdir "$tree" && git init -q --bare --template= "$store" && cd "$tree" || cannot "$work cannot be written"
}

# anew: the base again, after its own commands were run.
anew() {
  cd "$work" && rm -rf "$tree" "$store/index" && mkdir "$tree" && cd "$tree" && g read-tree --reset -u "$base_tree" ||
    cannot "the base of $name cannot be written again"
}

# obtain REF URL: from the bundle beside this script, from this clone, from where it came from, from the source.
obtain() {
  if [ -f "$here/repos/$name/base.bundle" ]; then
    g fetch -q "$here/repos/$name/base.bundle" refs/heads/main && return
  fi
  own=$(git -C "$here" rev-parse --absolute-git-dir 2>/dev/null) || own=
  if [ -n "$own" ] && git -C "$here" cat-file -e "$base^{commit}" 2>/dev/null; then
    g fetch -q --depth 1 "$own" "$base" && return
  fi
  origin=
  [ -z "$own" ] || origin=$(git -C "$here" config --get remote.origin.url) || origin=
  # With this user's own configuration: it may hold what is needed to reach the source.
  for source in "$origin" "$2"; do
    [ -n "$source" ] || continue
    for what in "$1" "$base"; do
      (CDPATH='' cd -- "$here" && git --git-dir="$store" fetch -q --depth 1 "$source" "$what") 2>"$work/.err" && return
    done
  done
  cat "$work/.err" >&2
  return 1
}

# needs DIRECTORY...: what the task's environment names has to be here.
needs() {
  absent=
  for directory; do [ -d "$directory" ] || absent="$absent $directory"; done
  [ -z "$absent" ] || [ -n "${REPRODUCE_PATH:-}" ] || cannot "the task's environment names what is not here:$absent
Put the packages of environment.json there, or name your own: REPRODUCE_PATH=/path/to/venv/bin $0"
}

# python_was VERSION: tells when another Python is about to be used.
python_was() {
  now=$(in_env python --version 2>/dev/null || in_env python3 --version 2>/dev/null) || now=none
  [ "$now" = "$1" ] || say "  note: recorded with $1, here it is $now"
}

# applies TREE: brings the recorded change in. Without TREE, something secret was taken out of it.
applies() {
  g apply --index --whitespace=nowarn "$patch" 2>"$work/.err" ||
    cannot "the recorded change does not apply to the recorded base: $(cat "$work/.err")"
  [ -z "$1" ] || [ "$(g write-tree)" = "$1" ] || cannot "the change gives another tree than the recorded $1"
}
does_not_apply() {
  if g apply --index --whitespace=nowarn "$patch" 2>"$work/.err"; then lacks "the patch applies"; return; fi
  sed 's/^/  | /' "$work/.err"
  shows "The patch does not apply."
}
unreadable() {
  if g apply --numstat "$patch" >/dev/null 2>"$work/.err"; then lacks "git reads the patch"; return; fi
  sed 's/^/  | /' "$work/.err"
  shows "git cannot read the patch"
}
adds_submodule() {
  if grep -Eq '^(new file mode|new mode|index [0-9a-f]+\.\.[0-9a-f]+) 160000' "$patch"
  then shows "the patch adds a submodule, which is not supported"; else lacks "the patch adds no submodule"; fi
}
changes_nothing() {
  if ! g apply --index --whitespace=nowarn "$patch" 2>"$work/.err"; then
    sed 's/^/  | /' "$work/.err"
    differs "the patch does not apply"
  elif g diff --cached --quiet "$base_tree"; then shows "the change is empty"; else lacks "the patch changes something"; fi
}
touches() {
  if g diff --cached --quiet "$base_tree" -- "$1"
  then lacks "the change leaves $1 alone"; else shows "the change touches $1"; fi
}
judged() { shows "this is the change that was judged, tree $1"; }

# restore PATH...: what judges the change is taken from the base, as the verifier does.
restore() {
  for path; do
    g checkout -q "$base_tree" -- "$path" 2>/dev/null || g rm -qf --ignore-unmatch -- "$path"
  done
}

# Keeps the tree as it is now: every command gets a copy of its own, at the same place.
ready() { cd "$work" && rm -rf "$work/.ready" && cp -RPp "$tree" "$work/.ready" || cannot "$tree cannot be copied"; }
set_up() { run "$1"; [ "$code" = 0 ] || cannot "the set-up fails here with $code"; }

# attempt COMMAND [MIB]: runs it on a copy of the tree; sets $code, $late, $fat, and $log, which names its output.
attempt() {
  rm -rf "$tree" && cp -RPp "$work/.ready" "$tree" || cannot "$tree cannot be copied"
  run "$@"
}
run() {
  say "\$ $1"
  log=$work/.log late='' fat=''
  limit=$wall
  [ -z "${REPRODUCE_WALL_S:-}" ] || [ "$REPRODUCE_WALL_S" -ge "$wall" ] || limit=$REPRODUCE_WALL_S
  rm -f "$work/.late" "$work/.fat"
  watch "$limit" "${2:-0}" >/dev/null 2>&1 &
  watcher=$!
  # In the foreground: what a shell starts in the background ignores interrupts.
  # The limits of the verifier: KiB that may be reserved, and 1 GiB, in halves of a KiB, for any file.
  (
    CDPATH='' cd -- "$tree" || exit 126
    { ulimit -d "$data_kb"; ulimit -f 2097152; } 2>/dev/null
    in_env /bin/sh -c "$1"
  ) </dev/null >"$log" 2>&1
  code=$?
  { kill "$watcher" && wait "$watcher"; } 2>/dev/null
  [ ! -e "$work/.late" ] || late=1
  [ ! -e "$work/.fat" ] || fat=1
  tail -n 40 "$log" | sed 's/^/  | /'
}

# watch SECONDS MIB: ends the command at either limit (0: no limit of memory).
watch() {
  me=$(exec sh -c 'echo $PPID')
  end=$(($(date +%s) + $1))
  pause=1
  [ "$2" = 0 ] || pause=0.2
  while :; do
    if [ "$(date +%s)" -ge "$end" ]; then : >"$work/.late"; break; fi
    if [ "$2" != 0 ] && [ "$(below | awk '{kb += $2} END {print int(kb / 1024)}')" -gt "$2" ]; then
      : >"$work/.fat"; break
    fi
    sleep "$pause" || sleep 1
  done
  # Unquoted: a list of numbers.
  kill -9 $(below | awk '{print $1}') 2>/dev/null
}
# Lists process and resident KiB of everything this script has started but the watcher.
below() {
  if [ -r /proc/self/status ]; then
    cat /proc/[0-9]*/status 2>/dev/null | awk '
      /^Name:/ { if (pid) print pid, up, kb; pid = kb = 0 }
      /^Pid:/ { pid = $2 } /^PPid:/ { up = $2 } /^VmRSS:/ { kb = $2 }
      END { if (pid) print pid, up, kb }'
  else
    ps -A -o pid= -o ppid= -o rss=
  fi | awk -v root="$$" -v me="$me" '
    { up[$1] = $2; kb[$1] = $3 }
    END {
      for (p in up) {
        q = p; n = 0
        while (n++ < 99 && q != me && q != root && (q in up)) q = up[q]
        if (q == root && p != root) print p, kb[p]
      }
    }'
}

# exits COMMAND CODE [FILE]: it ends by itself with this code, and the tests listed in FILE fail, no others.
exits() {
  attempt "$1"
  if [ -n "$late" ]; then out_of_time "recorded was exit code $2"
  elif [ "$code" = "$2" ] && [ -n "${3:-}" ]; then failing "$here/repos/$name/$3"
  elif [ "$code" = "$2" ]; then shows "exit code $code"
  elif [ "$code" = 0 ] || [ "$2" = 0 ]; then lacks "exit code $code, recorded was $2"
  else missing_program; differs "exit code $code, recorded was $2"; fi
}
# fails COMMAND: it does not pass; how it fails was not recorded.
fails() {
  attempt "$1"
  if [ -n "$late" ] && [ "$limit" = "$wall" ]; then shows "still running after $wall s"
  elif [ -n "$late" ]; then out_of_time "its limit is $wall s"
  elif [ "$code" = 0 ]; then lacks "exit code 0"
  else missing_program; shows "exit code $code"; fi
}
hangs() {
  attempt "$1"
  if [ -n "$late" ] && [ "$limit" = "$wall" ]; then shows "still running after $wall s"
  elif [ -n "$late" ]; then out_of_time "recorded was that it was stopped after $wall s"
  else ended; fi
}
swells() {
  attempt "$1" "$2"
  if [ -n "$fat" ]; then shows "more than $2 MiB of memory"
  elif [ -n "$late" ]; then out_of_time "recorded was that it took more than $2 MiB"
  else ended; fi
}
set_up_exits() {
  run "$1"
  if [ -n "$late" ]; then out_of_time "recorded was exit code $2"
  elif [ "$code" = "$2" ]; then shows "the set-up ends with exit code $code"
  elif [ "$code" = 0 ]; then lacks "the set-up works"
  else missing_program; differs "the set-up ends with exit code $code, recorded was $2"; fi
}
ended() {
  if [ "$code" = 0 ]; then lacks "it ends with exit code 0"
  else missing_program; differs "it ends with exit code $code"; fi
}
missing_program() {
  case $code in 126 | 127) cannot "a program is missing (exit code $code), see the output above" ;; esac
  ! grep -Eq "No module named '?pytest|error: unrecognized arguments" "$log" ||
    cannot "pytest or one of its plug-ins is missing, see the output above"
}
out_of_time() {
  if [ "$limit" = "$wall" ]; then differs "still running after $wall s; $1"
  else cut_short "still running after $limit s of $wall; $1"; fi
}

# failing FILE: compares the tests that pytest's summary names with the recorded ones.
failing() {
  WANTED=$1 awk '
    function ends(text, end) { return substr(text, length(text) - length(end) + 1) == end }
    function known(id,   w) {
      if (id in wanted) return id
      for (w in wanted) if (ends(w, "/" id) || ends(id, "/" w)) return w
      return ""
    }
    BEGIN { while ((getline line < ENVIRON["WANTED"]) > 0) wanted[line] = 1 }
    { gsub(/\033\[[0-9;]*m/, ""); gsub(/0x[0-9a-fA-F]+/, "0x") }
    /short test summary info/ { summary = 1 }
    # The verifier lets pytest go on where -x stops it.
    /stopping after [0-9]+ failures/ { stopped = 1 }
    summary && /^(FAILED|ERROR) [^ ]/ {
      rest = substr($0, index($0, " ") + 1); hit = known(rest); at = 0
      while (hit == "" && (step = index(substr(rest, at + 1), " - "))) {
        hit = known(substr(rest, 1, at + step - 1)); at += step
      }
      step = index(rest, " - ")
      if (hit != "") seen[hit] = 1; else more[step ? substr(rest, 1, step - 1) : rest] = 1
    }
    END {
      if (!summary) print "?"
      for (w in wanted) if (summary && !stopped && !(w in seen)) print "- " w
      for (m in more) print "+ " m
    }' "$log" >"$work/.tests"
  if [ ! -s "$work/.tests" ]; then shows "exit code $code, and the same tests fail: $(wc -l <"$1" | tr -d ' ')"
  elif [ "$(cat "$work/.tests")" = '?' ]; then
    missing_program
    differs "exit code $code, but pytest does not say which tests fail"
  else
    sed -e 's/^- /  | recorded as failing, not now: /' -e 's/^+ /  | fails now, not recorded: /' "$work/.tests"
    differs "exit code $code, but other tests fail"
  fi
}

# source_unreadable CODE URL BASE
source_unreadable() {
  case $2 in /*) [ -e "$2" ] || cannot "it needs the repository at $2" ;; esac
  if ! git ls-remote -- "$2" >"$work/.refs" 2>"$work/.err"; then
    sed 's/^/  | /' "$work/.err"
    [ "$1" = repository_unusable ] || cannot "$2 cannot be read"
    shows "git cannot read $2"
  elif [ "$1" = repository_unusable ]; then
    [ ! -s "$work/.refs" ] || cannot "git reads $2; what else makes it unusable, this script cannot tell"
    shows "$2 is empty"
  elif BASE=$3 awk 'BEGIN { b = ENVIRON["BASE"] }
      $2 == b || $2 == "refs/heads/" b || $2 == "refs/tags/" b || (length(b) > 6 && index($1, b) == 1) { found = 1 }
      END { exit !found }' "$work/.refs"
  then lacks "$2 has $3"
  else shows "$2 has no branch or tag $3"; fi
}

finish() {
  say "Worked in $work."
  if [ "$unfinished" != 0 ]; then say "It was not tried to its end."; exit 2; fi
  if [ "$same$gone$otherwise" = 000 ]; then say "There is nothing here that a script can try."; exit 2; fi
  if [ "$same$otherwise" = 00 ]; then say "The failure does not show."; exit 0; fi
  if [ "$gone$otherwise" != 00 ]; then say "It fails, but not as recorded."; exit 3; fi
  if [ "$unseen" = 0 ]; then say "The failure shows, as recorded."
  else say "What a script can check of the failure shows, as recorded; the rest is named above."; fi
  exit 1
}
