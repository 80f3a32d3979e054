// Command dnsrelay answers DNS queries on an address with the answers of this machine's name server, or after a second without one
// with a failure. Containers of an engine without a network to the outside ask it: queries of theirs to the name server itself would
// be lost, and gRPC waits for each answer, also for one about the records that a name may have beside its addresses.
package main

import (
	"log"
	"net"
	"os"
	"regexp"
	"time"
)

var nameserver = regexp.MustCompile(`(?m)^nameserver\s+(\S+)`)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: dnsrelay ADDRESS:PORT")
	}
	server := "127.0.0.1"
	if file, err := os.ReadFile("/etc/resolv.conf"); err != nil {
		log.Fatal(err)
	} else if found := nameserver.FindSubmatch(file); found != nil {
		server = string(found[1])
	}
	connection, err := net.ListenPacket("udp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		query := make([]byte, 4096)
		n, client, err := connection.ReadFrom(query)
		if err != nil {
			log.Fatal(err)
		}
		if n < 12 { // the header's size
			continue
		}
		go func() { _, _ = connection.WriteTo(answer(query[:n], net.JoinHostPort(server, "53")), client) }()
	}
}

func answer(query []byte, server string) []byte {
	message := make([]byte, 65535)
	if connection, err := net.DialTimeout("udp", server, time.Second); err == nil {
		defer connection.Close()
		_ = connection.SetDeadline(time.Now().Add(time.Second))
		if _, err = connection.Write(query); err == nil {
			if n, err := connection.Read(message); err == nil {
				return message[:n]
			}
		}
	}
	n := copy(message, query)
	message[2] |= 0x80 // it is a response
	message[3] = 0x82  // recursion is available; the server failed
	return message[:n]
}
