create index view_document_order on view_document (view, generation, sort, key);
