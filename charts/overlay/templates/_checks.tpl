{{/* What the schema cannot say, or not in words: values that the agent would refuse, and folders that cannot be mounted. Each ends in one sentence. */}}
{{- define "overlay.check" -}}
{{- include "overlay.checkAddresses" .Values.config -}}
{{- include "overlay.checkFolders" .Values.config -}}
{{- include "overlay.checkLabels" .Values -}}
{{- end }}

{{/* true or false: whether a text is an IP address, without brackets. An IPv4 address at the end of an IPv6 one is two of its groups; :: is one or more of them. */}}
{{- define "overlay.isAddress" -}}
{{- $byte := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
{{- $ipv4 := printf "%s(\\.%s){3}" $byte $byte -}}
{{- $groups := regexReplaceAll (printf ":%s$" $ipv4) . ":0:0" -}}
{{- $isWhole := regexMatch "^([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}$" $groups -}}
{{- $isShort := regexMatch "^([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4})*)?::([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4})*)?$" $groups -}}
{{- or (regexMatch (printf "^%s$" $ipv4) .) $isWhole (and $isShort (le (len (regexFindAll "[0-9A-Fa-f]+" $groups -1)) 7)) -}}
{{- end }}

{{/* true or false: whether a text is a port. */}}
{{- define "overlay.isPort" -}}
{{- and (regexMatch "^[1-9][0-9]{0,4}$" .) (le (int .) 65535) -}}
{{- end }}

{{/* auto, addresses, or a way to find them: interface=, cidr=, can-reach=. */}}
{{- define "overlay.checkNodeAddress" -}}
{{- $method := regexFind "^[^=]*=" . -}}
{{- range eq . "auto" | ternary list (splitList "," (trimPrefix $method .)) -}}
{{- $item := trim . -}}
{{- if eq $method "interface=" -}}
{{- if or (not $item) (gt (len $item) 15) -}}
{{- fail (printf "config.nodeAddress: %q is no name of a network interface; set interface= and names of 1 to 15 bytes, separated by commas." .) -}}
{{- end -}}
{{- else if eq $method "cidr=" -}}
{{- $length := regexFind "/[0-9]{1,3}$" $item | trimPrefix "/" -}}
{{- $address := regexReplaceAll "/[0-9]+$" $item "" -}}
{{- if or (not $length) (ne (include "overlay.isAddress" $address) "true") (gt (int $length) (contains ":" $address | ternary 128 32)) -}}
{{- fail (printf "config.nodeAddress: %q is no prefix; set cidr= and prefixes such as 192.0.2.0/24, separated by commas." .) -}}
{{- end -}}
{{- else if or (not (has $method (list "" "can-reach="))) (ne (include "overlay.isAddress" $item) "true") -}}
{{- fail (printf "config.nodeAddress: %q is no address; set auto, addresses separated by commas, interface=, cidr= or can-reach=." .) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $method "can-reach=") (contains "," .) -}}
{{- fail (printf "config.nodeAddress: %q names several addresses; can-reach= takes one." .) -}}
{{- end -}}
{{- end }}

{{- define "overlay.checkAddresses" -}}
{{- $nodeAddress := kindIs "string" .nodeAddress | ternary .nodeAddress (join "," .nodeAddress) -}}
{{- include "overlay.checkNodeAddress" $nodeAddress -}}
{{- range $key, $address := dict "metrics.address" .metrics.address "health.address" .health.address -}}
{{- $port := splitList ":" $address | last -}}
{{- $host := regexReplaceAll "^\\[(.*:.*)\\]$" (trimSuffix (printf ":%s" $port) $address) "${1}" -}}
{{- if and $address (or (ne (include "overlay.isPort" $port) "true") (and $host (ne (include "overlay.isAddress" $host) "true"))) -}}
{{- fail (printf "config.%s: %q is no ADDRESS:PORT; set an IP address, or none for all of the node's, and a port from 1 to 65535, such as 127.0.0.1:9091." $key $address) -}}
{{- end -}}
{{- end -}}
{{- with .apiServer -}}
{{- $form := "(?i)^https?://(\\[([0-9a-f.]*:[0-9a-f:.]*)\\]|[a-z0-9_-]+(\\.[a-z0-9_-]+)*\\.?)(:([0-9]+))?(/[!-~]*)?$" -}}
{{- $host := regexReplaceAll $form . "${2}" -}}
{{- $port := regexReplaceAll $form . "${5}" -}}
{{- if or (not (regexMatch $form .)) (and $host (ne (include "overlay.isAddress" $host) "true")) (and $port (ne (include "overlay.isPort" $port) "true")) -}}
{{- fail (printf "config.apiServer: %q is no address of an API server; set one such as https://10.0.0.1:6443, its port from 1 to 65535." .) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A folder is mounted at its own path, where nothing else may be: Kubernetes refuses two mounts of one path, and below its own folders the container lets none be made. */}}
{{- define "overlay.checkFolders" -}}
{{- range $key, $file := dict "socket" .socket "kubeconfig" .kubeconfig -}}
{{- if regexMatch "/\\.{0,2}$" $file -}}
{{- fail (printf "config.%s: %s names a folder; name a file in it." $key $file) -}}
{{- end -}}
{{- end -}}
{{- $taken := dict "/run/netns" "the network namespaces of pods" "/var/run/netns" "the network namespaces of pods" -}}
{{- range $key, $folder := include "overlay.folders" . | fromJson -}}
{{- if eq $folder "/" -}}
{{- fail (printf "config.%s: the folder / cannot be mounted in place of the container's own; choose a path in another folder." $key) -}}
{{- end -}}
{{- if contains ":" $folder -}}
{{- fail (printf "config.%s: Kubernetes mounts no path with a colon, as %s is; choose another." $key $folder) -}}
{{- end -}}
{{- range list "/config" "/dev" "/host" "/overlay" "/overlay-cni" "/proc" "/sys" -}}
{{- if hasPrefix (printf "%s/" .) (printf "%s/" $folder) -}}
{{- fail (printf "config.%s: the container has its own %s, so that %s cannot be mounted; choose another folder." $key . $folder) -}}
{{- end -}}
{{- end -}}
{{- if ne $key "cni.binDir" -}}
{{- with get $taken $folder -}}
{{- fail (printf "config.%s and %s would both be mounted at %s; choose another folder for one." $key . $folder) -}}
{{- end -}}
{{- $_ := set $taken $folder (printf "config.%s" $key) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A key that is there twice makes YAML that nobody reads alike. */}}
{{- define "overlay.checkLabels" -}}
{{- range $key, $labels := dict "nodeSelector" .nodeSelector "windows.nodeSelector" .windows.nodeSelector -}}
{{- if hasKey ($labels | default dict) "kubernetes.io/os" -}}
{{- fail (printf "%s: the chart itself sets kubernetes.io/os; leave it out." $key) -}}
{{- end -}}
{{- end -}}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/version" -}}
{{- if hasKey ($.serviceMonitor.labels | default dict) $label -}}
{{- fail (printf "serviceMonitor.labels: the chart itself sets %s; leave it out." $label) -}}
{{- end -}}
{{- end -}}
{{- end }}
