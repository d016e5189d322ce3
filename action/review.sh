#!/usr/bin/env bash
# What the action does once archc is installed: problems as annotations, stale files as a failure, and what edits do to
# networks as a comment of the pull request and in the summary of the run. Exits as the worst of these does.
#
# Takes what action.yml says in ARCHC_*, and from GitHub: GITHUB_REPOSITORY, GITHUB_STEP_SUMMARY.
set -euo pipefail

MARK='<!-- archc -->' # by which its comment is found again
MOST=20               # networks of one comment, which takes 65,536 characters
worst=0
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT

# Runs a command, and keeps the worst exit code.
run() {
    local code=0
    "$@" || code=$?
    if ((code > worst)); then worst=$code; fi
}

# The specs that are asked for, one a line, from here.
specs() {
    if [ -n "$ARCHC_SPECS" ]; then
        mapfile -t patterns < <(grep -v '^[[:space:]]*$' <<<"$ARCHC_SPECS")
        git ls-files -- "${patterns[@]}"
    else
        python -c '
from archc import project
found = project.find()
for spec in dict.fromkeys(str(job.spec) for job in found.jobs) if found else ():
    print(spec)' | while IFS= read -r spec; do git ls-files -- "$spec"; done
    fi
}

# What an edit does to one network, as markdown; nothing where it does nothing.
told() {
    local spec=$1 code=0
    if ! git cat-file -e "$base:./$spec" 2>/dev/null; then
        printf '**%s** is new.\n\n' "$spec"
        archc summary "$spec" --stages --format md 2>/dev/null || printf 'It has problems.\n'
        return
    fi
    archc diff "$base:$spec" "$spec" --format markdown >"$said/one" 2>"$said/error" || code=$?
    case $code in
    0) ;;
    1) cat "$said/one" ;;
    *) printf '**%s** cannot be compared:\n\n' "$spec" && sed 's/^/    /' "$said/error" ;;
    esac
}

# The comment: what each network that differs has to say.
compared() {
    local count=0
    for spec in "$@"; do
        told "$spec" >"$said/told"
        [ -s "$said/told" ] || continue
        count=$((count + 1))
        if ((count <= MOST)); then cat "$said/told" && printf '\n'; fi
    done
    if ((count > MOST)); then printf 'And %d more networks.\n' $((count - MOST)); fi
    if ((count == 0)); then printf 'No network differs.\n'; fi
}

# Writes the comment, or writes it anew.
comment() {
    local comments="repos/$GITHUB_REPOSITORY/issues/$ARCHC_PULL/comments" id
    id=$(gh api --paginate "$comments" --jq ".[] | select(.body | startswith(\"$MARK\")) | .id") || return
    id=${id%%$'\n'*}
    if [ -n "$id" ]; then
        gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" --field "body=@$1"
    elif ! grep -qx 'No network differs.' "$1"; then
        gh api --silent --method POST "$comments" --field "body=@$1"
    fi
}

mapfile -t files < <(specs)
if [ -n "$ARCHC_SPECS" ] && [ ${#files[@]} -eq 0 ]; then
    printf '::error::archc: no file of the repository matches the specs that are asked for\n'
    exit 2
fi

if [ -n "$ARCHC_SPECS" ]; then
    run archc check --format github "${files[@]}"
else
    run archc check --format github
    if [ "$ARCHC_BUILD" = true ]; then run archc build --check; fi
fi

if [ -n "$ARCHC_BASE" ]; then
    git cat-file -e "$ARCHC_BASE^{commit}" 2>/dev/null || git fetch --quiet --no-tags --depth=1 origin "$ARCHC_BASE"
    base=$(git rev-parse --short "$ARCHC_BASE") # as a person reads it
    { printf '%s\n' "$MARK" && compared "${files[@]}"; } >"$said/comment"
    cat "$said/comment" >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}"
    if [ "$ARCHC_COMMENT" = true ] && [ -n "$ARCHC_PULL" ] && ! comment "$said/comment"; then
        printf '::warning::archc: there is no comment, as the token may not write any; the summary of the run has it\n'
    fi
fi
exit "$worst"
