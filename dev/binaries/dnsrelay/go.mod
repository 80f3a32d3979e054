module dnsrelay

go 1.26.0
