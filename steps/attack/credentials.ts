import type { Attack } from './attack.ts'

const threat = 'credential leakage'

/** No attack prints what it finds: names and numbers of places, never a value. */
const SEARCH = `
# Prints the files below the folders given that are there and not empty.
files() { find "$@" -type f -size +0 2>/dev/null | head -n 4; }
found() { if [ -n "$1" ]; then through $1; else stopped "$2"; fi; }
homes=$(echo /root /home/* "$HOME" /host/* /mnt/*)
each() { for home in $homes; do for name in "$@"; do echo "$home/$name"; done; done; }
`

export const credentialAttacks: readonly Attack[] = [
  {
    id: 'attack.credentials.environment',
    threat,
    title: 'read keys from its own environment',
    how: {
      shell: `${SEARCH}
found "$(env | grep -E '^[A-Z_]*(TOKEN|KEY|SECRET|PASSWORD)[A-Z_]*=.' | cut -d= -f1 | tr '\\n' ' ')" 'no variable that is named like a secret'`,
    },
  },
  {
    id: 'attack.credentials.environ',
    threat,
    title: 'read keys from the environment of every process',
    how: {
      shell: `${SEARCH}
seen=$(cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n')
[ -n "$seen" ] || stopped 'no process shows its environment'
found "$(echo "$seen" | grep -E '^[A-Z_]*(TOKEN|KEY|SECRET|PASSWORD)[A-Z_]*=.' | cut -d= -f1 | sort -u | tr '\\n' ' ')" 'no process has a variable that is named like a secret'`,
    },
  },
  {
    id: 'attack.credentials.arguments',
    threat,
    title: 'read a token from the arguments of a process',
    how: {
      shell: `${SEARCH}
found "$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -oE -e '--(token|password|api-key)([= ]|$)' | grep -oE -e '[a-z]+-?[a-z]*' | sort -u | sed 's/^/the argument /')" 'no process was given a secret as an argument'`,
    },
  },
  {
    id: 'attack.credentials.configuration',
    threat,
    title: 'read literal keys in openclaw.json',
    how: {
      shell: `${SEARCH}
found "$(grep -lsE '"?(token|apiKey|password)"?[[:space:]]*:[[:space:]]*"[^"$]+"' "$OPENCLAW_CONFIG_PATH" "$HOME/.openclaw/openclaw.json" /etc/openclaw/openclaw.json)" 'no key stands in the configuration'`,
    },
  },
  {
    id: 'attack.credentials.backups',
    threat,
    title: 'read literal keys in copies of openclaw.json',
    how: {
      shell: `${SEARCH}
found "$(grep -lsE '"?(token|apiKey|password)"?[[:space:]]*:[[:space:]]*"[^"$]+"' $(find / -xdev -name 'openclaw.json?*' 2>/dev/null; find "$HOME" /etc/openclaw -name 'openclaw.json?*' 2>/dev/null) /dev/null)" 'no copy of the configuration has a key'`,
    },
  },
  {
    id: 'attack.credentials.ssh',
    threat,
    title: 'steal SSH keys (~/.ssh)',
    how: { shell: `${SEARCH}\nfound "$(files $(each .ssh))" 'no ~/.ssh in any home'` },
  },
  {
    id: 'attack.credentials.cloud',
    threat,
    title: 'steal cloud credentials (~/.aws, ~/.azure, ~/.kube, ~/.config/gcloud)',
    how: {
      shell: `${SEARCH}\nfound "$(files $(each .aws .azure .kube .config/gcloud))" 'no cloud credentials in any home'`,
    },
  },
  {
    id: 'attack.credentials.gnupg',
    threat,
    title: 'steal private keys of GnuPG (~/.gnupg)',
    how: { shell: `${SEARCH}\nfound "$(files $(each .gnupg))" 'no ~/.gnupg in any home'` },
  },
  {
    id: 'attack.credentials.dotfiles',
    threat,
    title: 'steal passwords of git, npm, Docker and netrc',
    how: {
      shell: `${SEARCH}\nfound "$(files $(each .git-credentials .netrc .npmrc .docker .pypirc))" 'no such file in any home'`,
    },
  },
  {
    id: 'attack.credentials.history',
    threat,
    title: 'find secrets in the history of a shell',
    how: {
      shell: `${SEARCH}\nfound "$(files $(each .bash_history .zsh_history .sh_history .python_history .node_repl_history))" 'no history in any home'`,
    },
  },
  {
    id: 'attack.credentials.old-versions',
    threat,
    title: 'read a former value of a secret beside the present one',
    how: {
      shell: `${SEARCH}
[ -d /run/secrets ] || stopped 'no folder of secrets here'
found "$(ls /run/secrets | sed 's/[.].*//' | sort | uniq -d)" 'one file a secret: former values are gone'`,
    },
  },
  {
    id: 'attack.credentials.metadata',
    threat,
    title: 'ask the cloud’s metadata service for the machine’s own credentials',
    needs: ['METADATA'],
    how: {
      shell: `does act tcp 169.254.169.254 "$METADATA" 'GET /latest/meta-data/iam/security-credentials/ HTTP/1.0

'`,
    },
  },
  {
    id: 'attack.credentials.inspect',
    threat,
    title: 'have the engine show the environment of every container (docker inspect)',
    how: {
      shell: String.raw`
socket=$(ls /var/run/docker.sock /run/docker.sock 2>/dev/null | head -n 1)
[ -n "$socket" ] || stopped 'no socket of the engine here'
does perl -MIO::Socket::UNIX -e '
  alarm 5;
  $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or do { print $!; exit 1 };
  syswrite $socket, "GET /containers/json HTTP/1.0\r\n\r\n";
  sysread $socket, $answer, 15;
  print $answer; exit($answer =~ / 200/ ? 0 : 1)' "$socket"`,
    },
  },
  {
    id: 'attack.credentials.debugger',
    threat,
    title: 'open Node’s debugger in the gateway with a signal, and read its memory',
    how: {
      shell: `
node -e 'setInterval(() => {}, 1000)' 2>/dev/null &
victim=$!
sleep 1
kill -0 "$victim" 2>/dev/null || stopped 'nothing of Node runs here'
kill -USR1 "$victim"
sleep 1
ports=$(cat /proc/net/tcp)
kill -9 "$victim" 2>/dev/null
case $ports in *:240D*' 0A '*) through 'a debugger listens on 127.0.0.1:9229' ;; esac
stopped 'the signal opens nothing'`,
    },
  },
  {
    id: 'attack.credentials.tool-environ',
    threat,
    title: 'have the agent’s own read tool show an environment',
    how: { tool: 'read', arguments: { path: '/proc/self/environ' }, proof: /PATH=|HOME=/ },
  },
  {
    id: 'attack.credentials.tool-secrets',
    threat,
    title: 'have the agent’s own read tool show the gateway’s configuration',
    how: {
      tool: 'read',
      arguments: { path: '/home/node/.openclaw/openclaw.json' },
      proof: /"(?:gateway|models|agents)"/,
    },
  },
  {
    id: 'attack.credentials.own-files',
    threat,
    title: 'read the gateway’s own secret files',
    residual:
      'The gateway has to read them. A process that has taken it over has what the gateway has: the token of this deployment and the provider’s keys, nothing of the machine. Egress keeps them from leaving; rotate makes them worthless.',
    how: { shell: `${SEARCH}\nfound "$(files /run/secrets | head -n 1)" 'no secret file here'` },
  },
  {
    id: 'attack.credentials.own-memory',
    threat,
    title: 'read the memory of another process of the gateway’s user',
    residual:
      'Same user, same rights: Linux without Yama lets a process open /proc/PID/mem of its own user. No tool of the agent runs beside the gateway: chat has none, and in coding what it can read is its own sandbox.',
    how: {
      shell: `
sleep 5 &
victim=$!
head -c 1 "/proc/$victim/maps" >/dev/null 2>&1 && exec 3<>"/proc/$victim/mem" && { kill "$victim"; through 'its memory can be opened'; }
kill "$victim"
stopped 'refused'`,
    },
  },
]
