package config

import (
	"strings"
	"testing"
)

func TestCheckColumns(t *testing.T) {
	resources, err := Parse("f.yaml", []byte(`
kind: source
id: shop
spec: {keys: [k]}
---
kind: import
id: orders
spec:
  source: shop
  event:
    type: "order-{{ row.Kind }}"
    id: row.InvoiceNo
    ids: {user: row.CustomerID}
    time: row.InvoiceDate
    properties:
      total: double(row["Total Price"])
      city: 'has(row.City) ? row.City : "none"'
      items: [row.First]
    tags: ['row.Tag']
`))
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(1, resources)
	if err != nil {
		t.Fatal(err)
	}
	orders, _ := set.Import("orders")
	const all = "Kind,InvoiceNo,CustomerID,InvoiceDate,Total Price,First,Tag"
	for header, want := range map[string]string{
		all:           "",
		all + ",More": "",
		strings.Replace(all, "Total Price", "TotalPrice", 1):                   `there is no column "Total Price", which event.properties.total of import orders reads; did you mean "TotalPrice"?; has(row.X)`,
		strings.Replace(all, "Kind,", "", 1):                                   `there is no column "Kind", which event.type of import orders reads; want one of InvoiceNo, CustomerID`,
		strings.Replace(all, "CustomerID", "customerid", 1):                    `there is no column "CustomerID", which event.ids.user of import orders reads; did you mean "customerid"?`,
		strings.TrimSuffix(all, ",First,Tag"):                                  `"First", which event.properties.items[0] of import orders reads; want one of Kind, InvoiceNo, CustomerID, InvoiceDate, Total Price; there is no column "Tag", which event.tags[0]`,
		strings.TrimSuffix(all, "Tag") + strings.Repeat("a,", 30) + "Schnecke": `Total Price, First, a, a, a, a, a, a, a, a, a, a, a, a, a, a and others`,
	} {
		err := orders.CheckColumns(strings.Split(header, ","))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %s", header, err, want)
		}
	}
}
