module plumbline.dev/plugins/gosdk

go 1.26.0
