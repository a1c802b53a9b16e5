using System.Net.Sockets;
using System.Text;

namespace Overlay.Tests.Kernel;

/// <summary>A Service of one TCP port, as one node's kube-proxy sees it in one family.</summary>
/// <param name="Name">Unique, of letters.</param>
/// <param name="ClusterIP">Its address.</param>
/// <param name="Port">Its port.</param>
/// <param name="NodePort">0 for none.</param>
/// <param name="IsLocal">externalTrafficPolicy: Local.</param>
/// <param name="Endpoints">Where it leads: address, port, and whether the pod is on this node.</param>
internal sealed record ProxiedPort(string Name, string ClusterIP, int Port, int NodePort, bool IsLocal, IReadOnlyList<(string Address, int Port, bool IsHere)> Endpoints);

/// <summary>
/// What kube-proxy puts into a node's kernel for Services, in its three modes, written from what its documentation says of it: which chains, maps and marks, in
/// which order. (https://kubernetes.io/docs/reference/networking/virtual-ips/)
/// </summary>
internal static class KubeProxyRules
{
    private const string Mark = "0x4000";

    /// <summary>For <c>iptables-restore</c> and <c>ip6tables-restore</c>: chains that are jumped through, endpoints picked by the statistic match.</summary>
    public static string Iptables(AddressFamily family, string podNetwork, IEnumerable<ProxiedPort> ports)
    {
        var host = family == AddressFamily.InterNetwork ? "/32" : "/128";
        var chains = new List<string> { "KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ" };
        var rules = new List<string>
        {
            "PREROUTING -j KUBE-SERVICES",
            "OUTPUT -j KUBE-SERVICES",
            "POSTROUTING -j KUBE-POSTROUTING",
            $"KUBE-MARK-MASQ -j MARK --or-mark {Mark}",
            $"KUBE-POSTROUTING -m mark ! --mark {Mark}/{Mark} -j RETURN",
            $"KUBE-POSTROUTING -j MARK --xor-mark {Mark}",
            "KUBE-POSTROUTING -j MASQUERADE --random-fully",
        };
        foreach (var port in ports)
        {
            var (service, external, local) = ($"KUBE-SVC-{port.Name}", $"KUBE-EXT-{port.Name}", $"KUBE-SVL-{port.Name}");
            chains.AddRange([service, external, local, .. port.Endpoints.Select((_, index) => $"KUBE-SEP-{port.Name}{index}")]);
            rules.Add($"KUBE-SERVICES -d {port.ClusterIP}{host} -p tcp -m tcp --dport {port.Port} -j {service}");
            rules.Add($"{service} ! -s {podNetwork} -d {port.ClusterIP}{host} -p tcp -m tcp --dport {port.Port} -j KUBE-MARK-MASQ");
            if (port.NodePort > 0)
                rules.Add($"KUBE-NODEPORTS -p tcp -m tcp --dport {port.NodePort} -j {external}");
            rules.AddRange(port.IsLocal
                ? [$"{external} -s {podNetwork} -j {service}", $"{external} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ", $"{external} -m addrtype --src-type LOCAL -j {service}", $"{external} -j {local}"]
                : (string[])[$"{external} -j KUBE-MARK-MASQ", $"{external} -j {service}"]);
            var indexed = port.Endpoints.Select((endpoint, index) => (endpoint.IsHere, Chain: $"KUBE-SEP-{port.Name}{index}")).ToList();
            rules.AddRange(Picks(service, [.. indexed.Select(endpoint => endpoint.Chain)]));
            rules.AddRange(Picks(local, [.. indexed.Where(endpoint => endpoint.IsHere).Select(endpoint => endpoint.Chain)]));
            foreach (var (endpoint, chain) in port.Endpoints.Zip(indexed.Select(endpoint => endpoint.Chain)))
            {
                rules.Add($"{chain} -s {endpoint.Address}{host} -j KUBE-MARK-MASQ");
                rules.Add($"{chain} -p tcp -m tcp -j DNAT --to-destination {Destination(endpoint.Address, endpoint.Port)}");
            }
        }

        rules.Add("KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS");
        return $"*nat\n{string.Concat(chains.Select(chain => $":{chain} - [0:0]\n"))}{string.Concat(rules.Select(rule => $"-A {rule}\n"))}COMMIT\n";
    }

    /// <summary>For <c>nft -f -</c>: table kube-proxy of the family, Services found by verdict maps, endpoints picked by numgen.</summary>
    public static string Nftables(AddressFamily family, string podNetwork, IReadOnlyList<ProxiedPort> ports)
    {
        var (ip, type) = family == AddressFamily.InterNetwork ? ("ip", "ipv4_addr") : ("ip6", "ipv6_addr");
        var text = new StringBuilder($$"""
            table {{ip}} kube-proxy {
            chain mark-for-masquerade { meta mark set meta mark or {{Mark}}; }
            chain masquerading { meta mark and {{Mark}} == 0 return; meta mark set meta mark xor {{Mark}}; masquerade fully-random; }

            """);
        foreach (var port in ports)
        {
            foreach (var (endpoint, index) in port.Endpoints.Select((endpoint, index) => (endpoint, index)))
                text.Append($"chain endpoint-{port.Name}{index} {{ {ip} saddr {endpoint.Address} jump mark-for-masquerade; meta l4proto tcp dnat to {Destination(endpoint.Address, endpoint.Port)}; }}\n");
            var indexed = port.Endpoints.Select((endpoint, index) => (endpoint.IsHere, Chain: $"endpoint-{port.Name}{index}")).ToList();
            text.Append($"chain service-{port.Name} {{ {ip} daddr {port.ClusterIP} tcp dport {port.Port} {ip} saddr != {podNetwork} jump mark-for-masquerade; {Pick([.. indexed.Select(item => item.Chain)])} }}\n");
            text.Append(port.IsLocal
                ? $"chain external-{port.Name} {{ {ip} saddr {podNetwork} goto service-{port.Name}; fib saddr type local jump mark-for-masquerade; fib saddr type local goto service-{port.Name}; {Pick([.. indexed.Where(item => item.IsHere).Select(item => item.Chain)])} }}\n"
                : $"chain external-{port.Name} {{ jump mark-for-masquerade; goto service-{port.Name}; }}\n");
        }

        text.Append($$"""
            map service-ips { type {{type}} . inet_proto . inet_service : verdict; elements = { {{string.Join(", ", ports.Select(port => $"{port.ClusterIP} . tcp . {port.Port} : goto service-{port.Name}"))}} }; }
            map service-nodeports { type inet_proto . inet_service : verdict; elements = { {{string.Join(", ", ports.Where(port => port.NodePort > 0).Select(port => $"tcp . {port.NodePort} : goto external-{port.Name}"))}} }; }
            chain services { {{ip}} daddr . meta l4proto . th dport vmap @service-ips; fib daddr type local meta l4proto . th dport vmap @service-nodeports; }
            chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
            chain nat-output { type nat hook output priority -100; jump services; }
            chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
            }

            """);
        return text.ToString();
    }

    /// <summary>For <c>ipvsadm --restore</c>: a virtual server for each address of a Service, and one for its port on each address of the node.</summary>
    public static string Ipvs(IReadOnlyList<string> nodeAddresses, IEnumerable<ProxiedPort> ports)
    {
        var text = new StringBuilder();
        foreach (var port in ports)
        {
            Add(port.ClusterIP, port.Port, port.Endpoints);
            foreach (var address in port.NodePort > 0 ? nodeAddresses : [])
                Add(address, port.NodePort, port.Endpoints.Where(endpoint => endpoint.IsHere || !port.IsLocal));
        }

        return text.ToString();

        void Add(string address, int port, IEnumerable<(string Address, int Port, bool IsHere)> endpoints)
        {
            text.Append(FormattableString.Invariant($"-A -t {Destination(address, port)} -s rr\n"));
            foreach (var endpoint in endpoints)
                text.Append(FormattableString.Invariant($"-a -t {Destination(address, port)} -r {Destination(endpoint.Address, endpoint.Port)} -m -w 1\n"));
        }
    }

    /// <summary>
    /// For <c>nft -f -</c>, beside <see cref="Ipvs"/>: which packets take the node's address. kube-proxy has sets of ipset(8) and rules of iptables for it; the sets here have their names.
    /// </summary>
    public static string IpvsMasquerading(AddressFamily family, string podNetwork, IReadOnlyList<ProxiedPort> ports)
    {
        var (ip, type) = family == AddressFamily.InterNetwork ? ("ip", "ipv4_addr") : ("ip6", "ipv6_addr");
        return $$"""
            table {{ip}} kube-proxy {
            set KUBE-LOOP-BACK { type {{type}} . inet_service . {{type}}; elements = { {{string.Join(", ", ports.SelectMany(port => port.Endpoints).Where(endpoint => endpoint.IsHere).Select(endpoint => $"{endpoint.Address} . {endpoint.Port} . {endpoint.Address}").Distinct().DefaultIfEmpty($"{ports[0].ClusterIP} . 1 . {ports[0].ClusterIP}"))}} }; }
            set KUBE-CLUSTER-IP { type {{type}} . inet_service; elements = { {{string.Join(", ", ports.Select(port => $"{port.ClusterIP} . {port.Port}"))}} }; }
            set KUBE-NODE-PORT-TCP { type inet_service; elements = { {{string.Join(", ", ports.Where(port => port.NodePort > 0 && !port.IsLocal).Select(port => port.NodePort))}} }; }
            chain mark-for-masquerade { meta mark set meta mark or {{Mark}}; }
            chain services {
            {{ip}} saddr != {{podNetwork}} {{ip}} daddr . tcp dport @KUBE-CLUSTER-IP jump mark-for-masquerade
            fib daddr type local tcp dport @KUBE-NODE-PORT-TCP jump mark-for-masquerade
            }
            chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
            chain nat-output { type nat hook output priority -100; jump services; }
            chain nat-postrouting {
            type nat hook postrouting priority srcnat
            {{ip}} daddr . tcp dport . {{ip}} saddr @KUBE-LOOP-BACK masquerade
            meta mark and {{Mark}} == 0 return
            meta mark set meta mark xor {{Mark}}
            masquerade fully-random
            }
            }

            """;
    }

    private static IEnumerable<string> Picks(string chain, IReadOnlyList<string> targets) => targets.Select((target, index) =>
        index == targets.Count - 1 ? $"{chain} -j {target}" : FormattableString.Invariant($"{chain} -m statistic --mode random --probability {1.0 / (targets.Count - index)} -j {target}"));

    private static string Pick(IReadOnlyList<string> targets) =>
        targets.Count == 0 ? "drop;" : $"numgen random mod {targets.Count} vmap {{ {string.Join(", ", targets.Select((target, index) => $"{index} : goto {target}"))} }};";

    private static string Destination(string address, int port) => address.Contains(':') ? $"[{address}]:{port}" : $"{address}:{port}";
}
