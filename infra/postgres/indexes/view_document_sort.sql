create index view_document_sort on view_document (view, sort, key);
